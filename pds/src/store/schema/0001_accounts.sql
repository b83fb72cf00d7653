-- Accounts, what signs them in, and what belongs to them alone.
-- Times are Unix milliseconds. AUTOINCREMENT: a deleted account's number is never given again.

CREATE TABLE account (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    did                   TEXT NOT NULL UNIQUE,
    handle                TEXT UNIQUE,
    email                 TEXT UNIQUE COLLATE NOCASE,
    email_confirmed_at_ms INTEGER,
    password_hash         TEXT NOT NULL,
    signing_key           BLOB NOT NULL,
    created_at_ms         INTEGER NOT NULL,
    deactivated_at_ms     INTEGER,
    delete_after_ms       INTEGER,
    takedown_ref          TEXT,
    invite_code           TEXT,
    invites_disabled      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX account_created ON account (created_at_ms, did);
CREATE INDEX account_delete_after ON account (delete_after_ms) WHERE delete_after_ms IS NOT NULL;

-- One row per refresh token that may still be used.
CREATE TABLE session (
    jti           TEXT PRIMARY KEY,
    account       INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    next_jti      TEXT,
    app_password  TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX session_account ON session (account);
CREATE INDEX session_next ON session (next_jti) WHERE next_jti IS NOT NULL;
CREATE INDEX session_expires ON session (expires_at_ms);

CREATE TABLE app_password (
    account       INTEGER NOT NULL,
    name          TEXT NOT NULL,
    digest        BLOB NOT NULL,
    privileged    INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;

-- Codes that were mailed; one live code per purpose, the newest wins.
CREATE TABLE email_token (
    account       INTEGER NOT NULL,
    purpose       TEXT NOT NULL,
    digest        BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account, purpose)
) STRICT, WITHOUT ROWID;

CREATE INDEX email_token_digest ON email_token (digest);

CREATE TABLE invite_code (
    code          TEXT PRIMARY KEY,
    for_account   TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    uses_allowed  INTEGER NOT NULL,
    disabled      INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX invite_code_for ON invite_code (for_account);

CREATE TABLE invite_use (
    code       TEXT NOT NULL,
    used_by    TEXT NOT NULL,
    used_at_ms INTEGER NOT NULL,
    PRIMARY KEY (code, used_by)
) STRICT, WITHOUT ROWID;

CREATE TABLE preference (
    account  INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (account, position)
) STRICT, WITHOUT ROWID;

-- Signing keys promised to a DID before its account exists.
CREATE TABLE reserved_key (
    did           TEXT PRIMARY KEY,
    signing_key   BLOB NOT NULL,
    public_key    TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
