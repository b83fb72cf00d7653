-- What was last found of an account's identity: neither a restart nor a full memory makes its next event wait for a look-up.
-- `key` is a did:key, `host` the name of the PDS in the document, `handle` what the document claims.
CREATE TABLE account_identity (
    account       INTEGER PRIMARY KEY,
    key           TEXT,
    host          TEXT,
    handle        TEXT,
    fetched_at_ms INTEGER NOT NULL
) STRICT;
