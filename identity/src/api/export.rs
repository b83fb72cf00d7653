//! `GET /export?count&after`: everybody's operations, a page at a time.
//!
//! `after` in digits is a number and lines carry numbers; `after` as a time, or none, is the older
//! form, whose lines say whether an operation was undone.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use rochdale_protocol::syntax::Datetime;

use super::error::ApiError;
use crate::app::App;
use crate::directory::{After, MAX_PAGE};

pub(super) async fn export(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let (after, count) = parameters(query.as_deref().unwrap_or_default())?;
    let mut response = app.directory.page(after, count).await?.into_response();
    let jsonlines = HeaderValue::from_static("application/jsonlines");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, jsonlines);
    Ok(response)
}

fn parameters(query: &str) -> Result<(After, usize), ApiError> {
    let (mut after, mut count) = (After::Time(None), MAX_PAGE);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "after" => after = parse_after(&value)?,
            "count" => count = parse_count(&value)?,
            _ => {}
        }
    }
    Ok((after, count))
}

fn parse_count(text: &str) -> Result<usize, ApiError> {
    match text.parse() {
        Ok(0) | Err(_) => Err(ApiError::Count),
        Ok(count) => Ok(MAX_PAGE.min(count)),
    }
}

fn parse_after(text: &str) -> Result<After, ApiError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(After::Seq).map_err(|_| ApiError::After);
    }
    let time: Datetime = text.parse().map_err(|_| ApiError::After)?;
    Ok(After::Time(Some(time.unix_ms())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_choose_the_mode_and_bound_the_page() {
        let ok = |query| parameters(query).unwrap();
        assert_eq!(ok(""), (After::Time(None), 1000));
        assert_eq!(ok("after=0&count=5"), (After::Seq(0), 5));
        assert_eq!(ok("count=5000"), (After::Time(None), 1000));
        assert_eq!(ok("x=y&after=7"), (After::Seq(7), 1000));
        let time = After::Time(Some(1_700_000_000_123));
        assert_eq!(ok("after=2023-11-14T22%3A13%3A20.123Z"), (time, 1000));
        for bad in ["count=0", "count=-1", "count=many", "count=", "count=1.5"] {
            assert!(matches!(parameters(bad), Err(ApiError::Count)), "{bad}");
        }
        for bad in [
            "after=",
            "after=yesterday",
            "after=-1",
            "after=99999999999999999999",
        ] {
            assert!(matches!(parameters(bad), Err(ApiError::After)), "{bad}");
        }
    }
}
