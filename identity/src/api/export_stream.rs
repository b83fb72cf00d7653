//! `GET /export/stream?cursor`: the lines of the export by number as a web socket, one text message
//! each, past the newest operation as they are accepted.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use rochdale_service::stream::Upgrade;
use rochdale_service::xrpc::{ClientIp, XrpcError};

use super::error::ApiError;
use crate::app::App;

pub(super) async fn export_stream(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    client: ClientIp,
    upgrade: Result<Upgrade, XrpcError>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|_| ApiError::UpgradeRequired)?;
    let cursor = cursor(query.as_deref().unwrap_or_default())?;
    app.stream
        .accept(upgrade, cursor, client)
        .map_err(|_| ApiError::TooManySubscribers)
}

fn cursor(query: &str) -> Result<Option<u64>, ApiError> {
    let mut cursor = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == "cursor" {
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok().filter(|_| is_number);
            cursor = Some(number.ok_or(ApiError::Cursor)?);
        }
    }
    Ok(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_number_or_missing() {
        assert_eq!(cursor("").unwrap(), None);
        assert_eq!(cursor("x=1").unwrap(), None);
        assert_eq!(cursor("cursor=0").unwrap(), Some(0));
        assert_eq!(
            cursor("cursor=9007199254740991").unwrap(),
            Some(9_007_199_254_740_991)
        );
        for bad in [
            "cursor=",
            "cursor=-1",
            "cursor=+1",
            "cursor=x",
            "cursor=1.5",
        ] {
            assert!(matches!(cursor(bad), Err(ApiError::Cursor)), "{bad}");
        }
    }
}
