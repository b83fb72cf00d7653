-- Hosts the relay listens to. `cursor`: NULL = start live, 0 = start from the oldest event the host has.
CREATE TABLE host (
    id            INTEGER PRIMARY KEY,
    hostname      TEXT NOT NULL UNIQUE,
    status        TEXT NOT NULL CHECK (status IN ('active', 'idle', 'offline', 'banned')),
    cursor        INTEGER,
    account_limit INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- Accounts seen. `active` and `status` are the last word of the account's host; `throttled` is the relay's own.
CREATE TABLE account (
    id            INTEGER PRIMARY KEY,
    did           TEXT NOT NULL UNIQUE,
    host          INTEGER NOT NULL REFERENCES host (id),
    active        INTEGER NOT NULL,
    status        TEXT,
    throttled     INTEGER NOT NULL,
    deleted_seq   INTEGER,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX account_by_host ON account (host);
CREATE INDEX account_deleted ON account (deleted_seq) WHERE deleted_seq IS NOT NULL;

-- The newest accepted state of each repository: SHA-256 digests of the commit and of the tree's root.
CREATE TABLE account_repo (
    account INTEGER PRIMARY KEY,
    rev     INTEGER NOT NULL,
    head    BLOB NOT NULL,
    data    BLOB NOT NULL
) STRICT;

CREATE TABLE domain_ban (
    domain        TEXT PRIMARY KEY,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Accounts taken down here, known or not. `announced`: subscribers have been told.
CREATE TABLE takedown (
    id            INTEGER PRIMARY KEY,
    did           TEXT NOT NULL UNIQUE,
    announced     INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- How far the state follows the log, and the numbers that may have been given out.
CREATE TABLE progress (
    only         INTEGER PRIMARY KEY CHECK (only = 1),
    applied_seq  INTEGER NOT NULL,
    reserved_seq INTEGER NOT NULL
) STRICT;
INSERT INTO progress (only, applied_seq, reserved_seq) VALUES (1, 0, 0);
