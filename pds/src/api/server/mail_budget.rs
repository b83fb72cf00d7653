//! How many mails one account may cause: counted per account, not per address.

use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::{Budget, Charges, XrpcError};

const HOUR: Budget = Budget {
    name: "mail-hour",
    points: 5,
    seconds: 3600,
};
const DAY: Budget = Budget {
    name: "mail-day",
    points: 15,
    seconds: 86_400,
};

/// Takes one mail for `purpose` from the account's budget.
pub(in crate::api) fn take(charges: &Charges, did: &Did, purpose: &str) -> Result<(), XrpcError> {
    charges.take(&HOUR, (did, purpose), 1)?;
    charges.take(&DAY, (did, purpose), 1)
}
