//! Pages of lists: how long one may be.

use rochdale_service::xrpc::XrpcError;

use super::error::invalid;

/// The `limit` parameter, from 1 to `max`.
pub(super) fn limit(given: Option<i64>, default: usize, max: usize) -> Result<usize, XrpcError> {
    let Some(given) = given else {
        return Ok(default);
    };
    match usize::try_from(given) {
        Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(invalid(format_args!(
            "parameter \"limit\": {given} is not from 1 to {max}"
        ))),
    }
}
