//! Query parameters: repeated names are arrays, unknown ones are ignored, a bad one is named.

use std::borrow::Cow;
use std::fmt;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::XrpcError;

/// The parameters of a query or subscription. `Option` fields may be missing; of a repeated name a
/// field that is not a list takes the first.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, XrpcError> {
        let query = parts.uri.query().unwrap_or_default();
        Self::parse(query).map_err(|error| XrpcError::invalid_request(error.to_string()))
    }
}

impl<T: DeserializeOwned> Query<T> {
    /// Reads the part of a URL after `?`.
    ///
    /// # Errors
    /// Names the parameter and what is wrong with it.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let mut pairs: Vec<Pair<'_>> = url::form_urlencoded::parse(query.as_bytes()).collect();
        // Stable: the values of one name keep their order.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        T::deserialize(Parameters {
            rest: &pairs,
            values: &[],
        })
        .map(Self)
    }
}

/// Which parameter is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    parameter: Option<String>,
    message: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parameter {
            Some(name) => write!(f, "parameter {name:?}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for QueryError {}

impl de::Error for QueryError {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self {
            parameter: None,
            message: message.to_string(),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            parameter: Some(field.to_owned()),
            message: "is required".to_owned(),
        }
    }
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

struct Parameters<'a> {
    rest: &'a [Pair<'a>],
    values: &'a [Pair<'a>],
}

impl<'de> Deserializer<'de> for Parameters<'_> {
    type Error = QueryError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Parameters<'_> {
    type Error = QueryError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, QueryError> {
        let Some((name, _)) = self.rest.first() else {
            return Ok(None);
        };
        let same = self
            .rest
            .iter()
            .take_while(|(other, _)| other == name)
            .count();
        (self.values, self.rest) = self.rest.split_at(same);
        seed.deserialize(IntoDeserializer::<QueryError>::into_deserializer(
            name.as_ref(),
        ))
        .map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, QueryError> {
        seed.deserialize(Values(self.values)).map_err(|mut error| {
            error.parameter = self.values.first().map(|(name, _)| name.to_string());
            error
        })
    }
}

/// All values of one name.
#[derive(Clone, Copy)]
struct Values<'a>(&'a [Pair<'a>]);

impl<'a> Values<'a> {
    fn first(self) -> &'a str {
        self.0.first().map_or("", |(_, value)| value)
    }

    fn parsed<T: std::str::FromStr>(self, what: &str) -> Result<T, QueryError> {
        let text = self.first();
        // A plus sign is not decimal notation here.
        let parsed = if text.starts_with('+') {
            None
        } else {
            text.parse().ok()
        };
        parsed.ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            de::Error::custom(format_args!("{shown:?} is not {what}"))
        })
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $what:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
            visitor.$visit(self.parsed($what)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values<'_> {
    type Error = QueryError;

    parsed! {
        deserialize_i8 visit_i8 "a small whole number"
        deserialize_i16 visit_i16 "a small whole number"
        deserialize_i32 visit_i32 "a whole number"
        deserialize_i64 visit_i64 "a whole number"
        deserialize_u8 visit_u8 "a whole number from 0 to 255"
        deserialize_u16 visit_u16 "a whole number from 0 to 65535"
        deserialize_u32 visit_u32 "a whole number that is not negative"
        deserialize_u64 visit_u64 "a whole number that is not negative"
        deserialize_bool visit_bool "true or false"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        visitor.visit_str(self.first())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, QueryError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        visitor.visit_seq(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, QueryError> {
        visitor.visit_enum(self.first().into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier
    }
}

impl<'de> SeqAccess<'de> for Values<'_> {
    type Error = QueryError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, QueryError> {
        let Some((first, rest)) = self.0.split_first() else {
            return Ok(None);
        };
        self.0 = rest;
        seed.deserialize(Values(std::slice::from_ref(first)))
            .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Wanted {
        repo: String,
        limit: Option<u8>,
        #[serde(default)]
        reverse: bool,
        #[serde(default)]
        cids: Vec<String>,
        order: Option<Order>,
        cursor: Option<i64>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Newest,
    }

    fn parse(query: &str) -> Result<Wanted, String> {
        Query::parse(query)
            .map(|query| query.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_lists_flags_numbers_and_ignores_the_unknown() {
        let wanted = parse(
            "cids=b&repo=did%3Aplc%3Aa&zeta=1&limit=100&cids=a&reverse=true&order=newest&cursor=-5",
        );
        let expected = Wanted {
            repo: "did:plc:a".to_owned(),
            limit: Some(100),
            reverse: true,
            cids: vec!["b".to_owned(), "a".to_owned()],
            order: Some(Order::Newest),
            cursor: Some(-5),
        };
        assert_eq!(wanted.unwrap(), expected);
        assert_eq!(parse("repo=a&repo=b").unwrap().repo, "a");
        assert_eq!(parse("repo=a+b").unwrap().repo, "a b");
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, expected) in [
            ("", "parameter \"repo\": is required"),
            (
                "repo=a&limit=300",
                "parameter \"limit\": \"300\" is not a whole number from 0 to 255",
            ),
            (
                "repo=a&limit=",
                "parameter \"limit\": \"\" is not a whole number from 0 to 255",
            ),
            (
                "repo=a&limit=%2B1",
                "parameter \"limit\": \"+1\" is not a whole number from 0 to 255",
            ),
            (
                "repo=a&reverse=1",
                "parameter \"reverse\": \"1\" is not true or false",
            ),
            (
                "repo=a&cursor=1e3",
                "parameter \"cursor\": \"1e3\" is not a whole number",
            ),
        ] {
            assert_eq!(parse(query).unwrap_err(), expected, "{query}");
        }
        assert!(
            parse("repo=a&order=oldest")
                .unwrap_err()
                .contains("\"order\"")
        );
    }

    #[test]
    fn many_values_are_read_in_linear_time() {
        let query = "cids=x&repo=a&".to_owned() + &"cids=y&".repeat(20_000);
        assert_eq!(parse(&query).unwrap().cids.len(), 20_001);
    }
}
