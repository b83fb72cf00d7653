-- Mail that is still to be sent, the address a member is moving to, and the second factor.

-- An address becomes the account's only when a code mailed to it came back.
ALTER TABLE account ADD COLUMN email_pending TEXT COLLATE NOCASE;
-- Whether signing in with the main password takes a code mailed to the confirmed address.
ALTER TABLE account ADD COLUMN email_factor INTEGER NOT NULL DEFAULT 0;

-- One row per mail until the mail server has taken it. `next_try_at_ms` is NULL when nothing more
-- is tried; such rows stay a while for the operator to see. The texts hold codes: they go with the
-- row, or when it is given up.
CREATE TABLE mail (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    account        INTEGER,
    purpose        TEXT,
    recipient      TEXT NOT NULL,
    subject        TEXT NOT NULL,
    text           TEXT NOT NULL,
    html           TEXT NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    give_up_at_ms  INTEGER NOT NULL,
    next_try_at_ms INTEGER,
    tries          INTEGER NOT NULL DEFAULT 0,
    last_error     TEXT
) STRICT;

CREATE INDEX mail_due ON mail (next_try_at_ms) WHERE next_try_at_ms IS NOT NULL;
CREATE INDEX mail_account ON mail (account, purpose) WHERE account IS NOT NULL;
