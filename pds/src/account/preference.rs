//! Which preferences a session sees and may put. Pure rules over JSON texts.
//!
//! Follows `app.bsky.actor.getPreferences`: a put replaces the whole namespace but for what the
//! caller may not see; the age declaration is computed from the birth date and never stored.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::auth::token::Scope;
use crate::store::preference::Preference;

const NAMESPACE: &str = "app.bsky";
const PERSONAL: &str = "app.bsky.actor.defs#personalDetailsPref";
const AGE: &str = "app.bsky.actor.defs#declaredAgePref";
const PREFERENCES_MAX: usize = 1000;

/// Why preferences were refused.
#[derive(Debug, thiserror::Error)]
pub enum PreferenceError {
    /// One has no `$type`.
    #[error("Preference is missing a $type")]
    NoType,
    /// One is of another namespace.
    #[error("Some preferences are not in the {NAMESPACE} namespace: {0}")]
    Namespace(String),
    /// The session may not put this one.
    #[error("Do not have authorization to set preferences: {0}")]
    Forbidden(String),
    /// More than an account may have.
    #[error("at most {PREFERENCES_MAX} preferences are kept, there are {0}")]
    TooMany(usize),
    /// One is not a JSON object.
    #[error("a preference is not an object")]
    Json(#[source] serde_json::Error),
}

/// What a session sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// Everything: the main password's session.
    All,
    /// Everything but personal details.
    NotPersonal,
}

impl Visible {
    /// What a session of this scope sees.
    #[must_use]
    pub fn to(scope: Scope) -> Self {
        match scope {
            Scope::Full => Self::All,
            Scope::AppPassword { .. } | Scope::TakenDown => Self::NotPersonal,
        }
    }

    fn includes(self, kind: &str) -> bool {
        self == Self::All || kind != PERSONAL
    }
}

/// The kinds that a put by this session leaves alone.
#[must_use]
pub fn kept(visible: Visible) -> &'static [&'static str] {
    match visible {
        Visible::All => &[],
        Visible::NotPersonal => &[PERSONAL],
    }
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "$type")]
    kind: Option<String>,
}

/// Checks what a session puts; a computed preference is dropped.
///
/// # Errors
/// The first rule broken.
pub fn check(texts: &[&str], visible: Visible) -> Result<Vec<Preference>, PreferenceError> {
    if texts.len() > PREFERENCES_MAX {
        return Err(PreferenceError::TooMany(texts.len()));
    }
    let mut checked = Vec::with_capacity(texts.len());
    for text in texts {
        let typed: Typed = serde_json::from_str(text).map_err(PreferenceError::Json)?;
        let kind = typed.kind.ok_or(PreferenceError::NoType)?;
        let inside = kind
            .strip_prefix(NAMESPACE)
            .is_some_and(|rest| rest.starts_with('.'));
        if !inside {
            return Err(PreferenceError::Namespace(kind));
        }
        if kind == AGE {
            continue;
        }
        if !visible.includes(&kind) {
            return Err(PreferenceError::Forbidden(kind));
        }
        checked.push(Preference {
            kind,
            json: (*text).to_owned(),
        });
    }
    Ok(checked)
}

/// What a session is shown of the stored preferences at `now_ms`.
#[must_use]
pub fn shown(all: Vec<Preference>, visible: Visible, now_ms: i64) -> Vec<String> {
    let age = all
        .iter()
        .filter(|one| one.kind == PERSONAL)
        .find_map(|one| age(&one.json, now_ms));
    let seen = all
        .into_iter()
        .filter(|one| visible.includes(&one.kind))
        .map(|one| one.json);
    seen.chain(age).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Personal {
    birth_date: Option<String>,
}

/// The computed declaration of age, when the birth date is known.
fn age(personal: &str, now_ms: i64) -> Option<String> {
    let personal: Personal = serde_json::from_str(personal).ok()?;
    let text = personal.birth_date?;
    let born: Date = text.get(..10)?.parse().ok()?;
    let today = Timestamp::from_millisecond(now_ms)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .date();
    let before_birthday = (today.month(), today.day()) < (born.month(), born.day());
    let years = today.year() - born.year() - i16::from(before_birthday);
    let declared = serde_json::json!({
        "$type": AGE,
        "isOverAge13": years >= 13,
        "isOverAge16": years >= 16,
        "isOverAge18": years >= 18,
    });
    Some(declared.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSONAL_JSON: &str = r#"{"$type":"app.bsky.actor.defs#personalDetailsPref","birthDate":"2010-06-15T00:00:00.000Z"}"#;
    const OTHER_JSON: &str = r#"{"$type":"app.bsky.actor.defs#brandNewPref","x":[1]}"#;

    #[test]
    fn types_must_be_in_the_namespace_but_need_not_be_known() {
        assert_eq!(check(&[OTHER_JSON], Visible::All).unwrap().len(), 1);
        assert!(matches!(
            check(&["{}"], Visible::All),
            Err(PreferenceError::NoType)
        ));
        for kind in ["com.example.x", "app.bskyevil.x", "app.bsky"] {
            let json = format!(r#"{{"$type":"{kind}"}}"#);
            assert!(matches!(
                check(&[&json], Visible::All),
                Err(PreferenceError::Namespace(_))
            ));
        }
        assert!(matches!(
            check(&["[]"], Visible::All),
            Err(PreferenceError::Json(_))
        ));
    }

    #[test]
    fn app_passwords_neither_see_put_nor_delete_personal_details() {
        let visible = Visible::to(Scope::AppPassword { privileged: true });
        assert!(matches!(
            check(&[PERSONAL_JSON], visible),
            Err(PreferenceError::Forbidden(_))
        ));
        assert_eq!(kept(visible), [PERSONAL]);
        let all = check(&[PERSONAL_JSON, OTHER_JSON], Visible::All).unwrap();
        let seen = shown(all, visible, 0);
        assert!(seen.iter().all(|json| !json.contains("birthDate")));
    }

    #[test]
    fn the_age_is_computed_to_the_day_and_never_stored() {
        let all = check(&[PERSONAL_JSON], Visible::All).unwrap();
        let eve = 1_781_481_599_000; // 2026-06-14T23:59:59Z
        let over_16 =
            |now_ms| shown(all.clone(), Visible::All, now_ms)[1].contains(r#""isOverAge16":true"#);
        assert!(!over_16(eve));
        assert!(over_16(eve + 1000));
        let json = format!(r#"{{"$type":"{AGE}","isOverAge18":true}}"#);
        assert!(check(&[&json], Visible::All).unwrap().is_empty());
    }
}
