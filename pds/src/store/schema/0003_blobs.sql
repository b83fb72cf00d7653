-- Blobs: what was uploaded, what records refer to, which files are to go.

-- One row per stored file. Not served until `permanent`, which the first reference sets.
CREATE TABLE blob (
    account        INTEGER NOT NULL,
    cid            BLOB NOT NULL,
    mime           TEXT NOT NULL,
    size           INTEGER NOT NULL,
    uploaded_at_ms INTEGER NOT NULL,
    permanent      INTEGER NOT NULL,
    PRIMARY KEY (account, cid)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_temporary ON blob (uploaded_at_ms) WHERE permanent = 0;

-- Which record refers to which blob, and since which revision.
CREATE TABLE blob_link (
    account    INTEGER NOT NULL,
    cid        BLOB NOT NULL,
    collection INTEGER NOT NULL,
    rkey       TEXT NOT NULL,
    rev        INTEGER NOT NULL,
    PRIMARY KEY (account, cid, collection, rkey)
) STRICT, WITHOUT ROWID;

-- Blobs hidden by a moderator: not served, not accepted again.
CREATE TABLE blob_takedown (
    account INTEGER NOT NULL,
    cid     BLOB NOT NULL,
    ref     TEXT NOT NULL,
    PRIMARY KEY (account, cid)
) STRICT, WITHOUT ROWID;

-- Files whose row is gone and which are still to be removed from disk.
CREATE TABLE blob_garbage (
    account INTEGER NOT NULL,
    cid     BLOB NOT NULL,
    PRIMARY KEY (account, cid)
) STRICT, WITHOUT ROWID;
