-- Every accepted operation, in the order of acceptance. Rows are appended; only nullified_by changes.
CREATE TABLE operation (
    seq           INTEGER PRIMARY KEY,
    -- The 24 base32 digits of the did:plc as 15 bytes: no longer than a row id and an index would be.
    did           BLOB    NOT NULL,
    -- The operation of the same DID that was accepted before this one, nullified or not.
    previous      INTEGER,
    created_at_ms INTEGER NOT NULL,
    -- SHA-256 of `bytes`; the CID without its constant prefix.
    digest        BLOB    NOT NULL,
    -- Which of the rotation keys in force signed, counted from the strongest.
    signer_key    INTEGER NOT NULL,
    -- The recovery operation that undid this one.
    nullified_by  INTEGER,
    -- The signed operation, canonical DAG-CBOR.
    bytes         BLOB    NOT NULL
) STRICT;

CREATE TABLE did (
    did  BLOB    PRIMARY KEY,
    -- The newest operation, which is never nullified.
    head INTEGER NOT NULL,
    -- Operations that are not nullified.
    live INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
