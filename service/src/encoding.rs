//! Content encodings of HTTP (RFC 9110, 8.4 and 12.5.3): which ones a client takes, and whole bodies
//! into and out of them.
//!
//! For answers that are changed on their way through. Bodies that only pass keep their bytes. Requests
//! are decoded by `xrpc`, piece by piece.

use std::io;

use async_compression::Level;
use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder,
};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`, which is the zlib format.
    Deflate,
    /// `br`.
    Brotli,
}

/// All that are known here, the cheapest to decode for its size first.
const KNOWN: [Encoding; 4] = [
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Brotli,
    Encoding::Identity,
];

/// Why a body was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not what the header says.
    #[error("the body cannot be decoded: {0}")]
    Broken(#[source] io::Error),
    /// More than is wanted.
    #[error("the decoded body has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
}

impl Encoding {
    /// The encoding of a body with these headers; `None` when it is not known here.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match headers.get(CONTENT_ENCODING) {
            None => Some(Self::Identity),
            Some(value) => Self::named(value.to_str().ok()?.trim()),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let same =
            |known: &Self| known.name() == name || (*known == Self::Gzip && name == "x-gzip");
        KNOWN.into_iter().find(same)
    }

    /// Its name in headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }

    /// The plain bytes of a body.
    ///
    /// # Errors
    /// When the body is damaged, or larger than `limit_bytes`.
    pub async fn decode(self, body: &Bytes, limit_bytes: usize) -> Result<Bytes, DecodeError> {
        match self {
            Self::Identity if body.len() > limit_bytes => {
                Err(DecodeError::TooLarge { limit_bytes })
            }
            Self::Identity => Ok(body.clone()),
            Self::Gzip => read_within(GzipDecoder::new(&body[..]), limit_bytes).await,
            Self::Deflate => read_within(ZlibDecoder::new(&body[..]), limit_bytes).await,
            Self::Brotli => read_within(BrotliDecoder::new(&body[..]), limit_bytes).await,
        }
    }

    /// The body in this encoding: fast rather than small.
    ///
    /// # Errors
    /// When the compressor fails.
    pub async fn encode(self, body: Vec<u8>) -> io::Result<Bytes> {
        let mut out = Vec::new();
        match self {
            Self::Identity => return Ok(body.into()),
            Self::Gzip => {
                let mut encoder = GzipEncoder::with_quality(&body[..], Level::Fastest);
                encoder.read_to_end(&mut out).await?;
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::with_quality(&body[..], Level::Fastest);
                encoder.read_to_end(&mut out).await?;
            }
            Self::Brotli => {
                let mut encoder = BrotliEncoder::with_quality(&body[..], Level::Fastest);
                encoder.read_to_end(&mut out).await?;
            }
        }
        Ok(out.into())
    }
}

async fn read_within(
    decoder: impl AsyncRead + Unpin,
    limit_bytes: usize,
) -> Result<Bytes, DecodeError> {
    let mut out = Vec::new();
    let one_more = u64::try_from(limit_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    decoder
        .take(one_more)
        .read_to_end(&mut out)
        .await
        .map_err(DecodeError::Broken)?;
    if out.len() > limit_bytes {
        return Err(DecodeError::TooLarge { limit_bytes });
    }
    Ok(out.into())
}

/// Why nothing can be agreed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The header is not a list of names with weights.
    #[error("Invalid accept-encoding: {0:?}")]
    Malformed(String),
    /// The client takes none of ours.
    #[error("this service does not support any of the requested encodings")]
    NoneAcceptable,
}

/// The encodings that both a client and this server take, in the client's order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// With the client's weight, in thousandths.
    all: Vec<(Encoding, u16)>,
}

impl Accepted {
    /// What a request's headers accept. Without the header that is the plain body.
    ///
    /// # Errors
    /// [`NegotiationError`].
    pub fn of(headers: &HeaderMap) -> Result<Self, NegotiationError> {
        let mut named = Vec::new();
        for value in headers.get_all(ACCEPT_ENCODING) {
            let malformed =
                || NegotiationError::Malformed(String::from_utf8_lossy(value.as_bytes()).into());
            let text = value.to_str().map_err(|_not_ascii| malformed())?;
            for item in text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
            {
                named.push(weighed(item).ok_or_else(malformed)?);
            }
        }
        let weight = |encoding: Encoding| {
            let own = named
                .iter()
                .find(|(name, _)| Encoding::named(name) == Some(encoding));
            let any = || named.iter().find(|(name, _)| name == "*");
            match own.or_else(any) {
                Some((_, weight)) => *weight,
                // The plain body is acceptable, after everything named, unless it is excluded.
                None => u16::from(encoding == Encoding::Identity),
            }
        };
        let weights = KNOWN.map(|encoding| (encoding, weight(encoding)));
        let mut all: Vec<_> = weights
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .collect();
        all.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        if all.is_empty() {
            return Err(NegotiationError::NoneAcceptable);
        }
        Ok(Self { all })
    }

    /// The best of them.
    #[must_use]
    pub fn best(&self) -> Encoding {
        self.all
            .first()
            .map_or(Encoding::Identity, |(encoding, _)| *encoding)
    }

    /// As an `Accept-Encoding` header.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        if matches!(self.all[..], [(Encoding::Identity, _)]) {
            return HeaderValue::from_static("identity");
        }
        let mut items: Vec<String> = self
            .all
            .iter()
            .map(|(encoding, weight)| match weight {
                1000 => encoding.name().to_owned(),
                weight => format!(
                    "{};q={}.{:03}",
                    encoding.name(),
                    weight / 1000,
                    weight % 1000
                ),
            })
            .collect();
        if !self.all.iter().any(|(one, _)| *one == Encoding::Identity) {
            items.push("identity;q=0".to_owned());
        }
        // Names and digits are always a header value.
        HeaderValue::try_from(items.join(", ")).unwrap_or(HeaderValue::from_static("identity"))
    }
}

/// A name and its weight in thousandths: `gzip;q=0.5`.
fn weighed(item: &str) -> Option<(String, u16)> {
    let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
    let name = name.trim();
    let is_token = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"*-_.+!#$%&'^`|~".contains(&byte));
    if !is_token {
        return None;
    }
    let parameters = parameters.trim();
    let weight = match parameters.split_once('=') {
        None if parameters.is_empty() => 1000,
        Some((key, value)) if key.trim().eq_ignore_ascii_case("q") => thousandths(value.trim())?,
        _ => return None,
    };
    Some((name.to_owned(), weight))
}

/// A weight from 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || !digits || decimals.len() > 3 {
        return None;
    }
    let number: u16 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (number <= 1000).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(header: Option<&str>) -> Result<String, NegotiationError> {
        let mut headers = HeaderMap::new();
        if let Some(text) = header {
            headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
        }
        Accepted::of(&headers).map(|accepted| accepted.header().to_str().unwrap().to_owned())
    }

    #[test]
    fn what_the_client_takes_and_is_known_here_is_passed_on_with_its_weights() {
        for (header, expected) in [
            (None, "identity"),
            (Some(""), "identity"),
            (Some("gzip"), "gzip, identity;q=0.001"),
            (Some("br;q=0.5, gzip"), "gzip, br;q=0.500, identity;q=0.001"),
            (Some("gzip, *;q=0"), "gzip, identity;q=0"),
            (Some("*"), "gzip, deflate, br, identity"),
            (Some("zstd"), "identity"),
            (
                Some("zstd, gzip;q=0, *;q=0.1"),
                "deflate;q=0.100, br;q=0.100, identity;q=0.100",
            ),
            (Some("X-GZIP"), "gzip, identity;q=0.001"),
        ] {
            assert_eq!(accepted(header).unwrap(), expected, "{header:?}");
        }
    }

    #[test]
    fn nothing_in_common_and_nonsense_are_told_apart() {
        for none in [
            "zstd, *;q=0",
            "identity;q=0",
            "*;q=0",
            "gzip;q=0, identity;q=0.000",
        ] {
            assert_eq!(
                accepted(Some(none)),
                Err(NegotiationError::NoneAcceptable),
                "{none}"
            );
        }
        for malformed in [
            ";q=1",
            "gzip;q=2",
            "gzip;q=x",
            "gzip;level=1",
            "gzip;q=1.001",
            "a b",
        ] {
            let error = NegotiationError::Malformed(malformed.to_owned());
            assert_eq!(accepted(Some(malformed)), Err(error), "{malformed}");
        }
    }

    #[tokio::test]
    async fn every_encoding_gives_back_what_went_in_and_stops_at_the_limit() {
        let text = "a timeline ".repeat(1000);
        for encoding in KNOWN {
            let encoded = encoding.encode(text.clone().into_bytes()).await.unwrap();
            assert_eq!(encoded.len() < text.len(), encoding != Encoding::Identity);
            let decoded = encoding.decode(&encoded, text.len()).await.unwrap();
            assert_eq!(decoded, text.as_bytes());
            let error = encoding.decode(&encoded, text.len() - 1).await.unwrap_err();
            assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}");
        }
        let nonsense = Bytes::from_static(b"nothing of the kind");
        let error = Encoding::Gzip.decode(&nonsense, 100).await.unwrap_err();
        assert!(matches!(error, DecodeError::Broken(_)), "{error}");
    }
}
