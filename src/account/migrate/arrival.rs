//! The account at the new PDS: made asleep, signed in to, filled with preferences, woken; and the old
//! one put to sleep.

use serde_json::{Value, json};

use super::error::MigrateError;
use super::journal::Step;
use super::remote::SignIn;
use super::{Move, repository, sign_in_with_factor, survey};

impl Move<'_> {
    /// Signs in at the new PDS, and makes the account there when the journal knows of none.
    pub(super) async fn arrive(&mut self) -> Result<(), MigrateError> {
        let password = self
            .talk
            .secret("MIGRATE_NEW_PASSWORD", "Password for the new PDS")?;
        let sign_in = SignIn {
            identifier: self.journal.did().to_string(),
            password,
            second_factor: self.args.new_second_factor.clone(),
            allow_takendown: false,
        };
        let made = if self.journal.is_done(Step::Account) {
            Ok(())
        } else {
            self.create_account(&sign_in.password).await
        };
        let flag = "--new-second-factor";
        let signed_in = sign_in_with_factor(self.talk, &mut self.new, sign_in, flag).await;
        match (made, signed_in) {
            (_, Ok(())) => {}
            (_, Err(MigrateError::Waiting(what))) => return Err(MigrateError::Waiting(what)),
            // Made by an earlier run that was killed, or of an earlier move: then signing in works.
            (Err(refused), Err(_)) => return Err(refused),
            (Ok(()), Err(error)) => return Err(error),
        }
        let session = self.new.session().await?;
        if session.active != Some(false) && !self.journal.is_done(Step::Identity) {
            let why = "the account at the new PDS is active already: nothing was copied over it";
            return Err(MigrateError::Check(why.to_owned()));
        }
        Ok(())
    }

    async fn create_account(&self, password: &str) -> Result<(), MigrateError> {
        let server = survey::server(&self.new).await?;
        let token = survey::vouched(&self.old, &server.did).await?;
        let mut account = json!({
            "did": self.journal.did(),
            "handle": self.journal.handle(),
            "email": self.journal.email(),
            "password": password,
        });
        if let (Some(code), Some(fields)) = (&self.args.invite_code, account.as_object_mut()) {
            fields.insert("inviteCode".to_owned(), code.clone().into());
        }
        let nsid = "com.atproto.server.createAccount";
        let _session: Value = self.new.call_as(nsid, &account, Some(&token)).await?;
        Ok(())
    }

    /// Copies the preferences, as far as the two servers let them be copied.
    pub(super) async fn move_preferences(&mut self) -> Result<(), MigrateError> {
        let preferences = match survey::preferences(&self.old).await {
            Ok(preferences) => preferences,
            Err(error) if error.is_final() => {
                let why = format!("preferences: {}", error.reason());
                return self.journal.leave_behind(why);
            }
            Err(error) => return Err(error.into()),
        };
        if preferences.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = preferences.iter().map(|json| json.get()).collect();
        let body = format!("{{\"preferences\":[{}]}}", texts.join(","));
        let nsid = "app.bsky.actor.putPreferences";
        match self.new.hand_in(nsid, &body).await {
            Err(error) if error.is_final() => {
                let why = format!("preferences: {}", error.reason());
                self.journal.leave_behind(why)
            }
            done => Ok(done?),
        }
    }

    /// Wakes the new account. Waking it twice does no harm.
    pub(super) async fn activate(&mut self) -> Result<(), MigrateError> {
        let nsid = "com.atproto.server.activateAccount";
        Ok(self.new.tell(nsid).await?)
    }

    /// Puts the old account to sleep, now that the new one is seen to be awake.
    pub(super) async fn deactivate_old(&mut self) -> Result<(), MigrateError> {
        let did = self.journal.did().to_string();
        let nsid = "com.atproto.sync.getRepoStatus";
        let public: Value = self.new.ask_publicly(nsid, &[("did", &did)]).await?;
        if public.get("active").and_then(Value::as_bool) != Some(true) {
            let why = "the new PDS does not say that it is active";
            return Err(MigrateError::Check(why.to_owned()));
        }
        let copied = self.journal.repository().map(|copied| copied.rev);
        let head = repository::head(&self.old, &did).await;
        if let (Some(copied), Ok(head)) = (copied, head)
            && head.rev != copied
        {
            let late = "what was written at the old PDS after the copy was made";
            self.journal.leave_behind(late.to_owned())?;
        }
        let nsid = "com.atproto.server.deactivateAccount";
        match self.old.hand_in(nsid, "{}").await {
            Err(error) if error.is_final() => {
                let why = format!(
                    "the old account could not be deactivated ({}): do that at the old PDS",
                    error.reason()
                );
                self.journal.leave_behind(why)
            }
            done => Ok(done?),
        }
    }
}
