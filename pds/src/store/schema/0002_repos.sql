-- Repositories: heads, records, derived tree nodes, the event log.

-- Collections are interned: a record row carries a small number instead of a name.
CREATE TABLE collection (
    id   INTEGER PRIMARY KEY,
    nsid TEXT NOT NULL UNIQUE
) STRICT;

-- One row per repository. `head` and `data` are SHA-256 digests of dag-cbor blocks;
-- `nodes_rev`/`nodes_root` say which tree the rows of `node` are complete for.
CREATE TABLE repo (
    account    INTEGER PRIMARY KEY,
    head       BLOB NOT NULL,
    rev        INTEGER NOT NULL,
    data       BLOB NOT NULL,
    block      BLOB NOT NULL,
    nodes_rev  INTEGER NOT NULL,
    nodes_root BLOB NOT NULL
) STRICT;

-- Each record once, in the order of its path inside its collection.
CREATE TABLE record (
    account    INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    rkey       TEXT NOT NULL,
    cid        BLOB NOT NULL,
    rev        INTEGER NOT NULL,
    value      BLOB NOT NULL,
    PRIMARY KEY (account, collection, rkey)
) STRICT, WITHOUT ROWID;

-- Who points at what, for the four record kinds of which a subject may have only one.
-- `subject` is the first 16 bytes of the SHA-256 of the subject.
CREATE TABLE backlink (
    account    INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    subject    BLOB NOT NULL,
    rkey       TEXT NOT NULL,
    PRIMARY KEY (account, collection, subject, rkey)
) STRICT, WITHOUT ROWID;

-- Records hidden by a moderator.
CREATE TABLE record_takedown (
    account    INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    rkey       TEXT NOT NULL,
    ref        TEXT NOT NULL,
    PRIMARY KEY (account, collection, rkey)
) STRICT, WITHOUT ROWID;

-- Tree nodes, written behind the commits and derivable from the records.
CREATE TABLE node (
    account INTEGER NOT NULL,
    cid     BLOB NOT NULL,
    rev     INTEGER NOT NULL,
    bytes   BLOB NOT NULL,
    PRIMARY KEY (account, cid)
) STRICT, WITHOUT ROWID;

-- Every commit event up to and including `seq` has its nodes in `node`.
CREATE TABLE node_checkpoint (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO node_checkpoint (id, seq) VALUES (1, 0);

-- The event log: frames as sent. The newest row is never deleted, so `seq` is never reused.
CREATE TABLE event (
    seq     INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    frame   BLOB NOT NULL
) STRICT;

-- Sequence numbers start above `seq`, raised to the clock at each start; events up to `trimmed`
-- were removed because of their age.
CREATE TABLE event_floor (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    seq     INTEGER NOT NULL,
    trimmed INTEGER NOT NULL
) STRICT;
INSERT INTO event_floor (id, seq, trimmed) VALUES (1, 0, 0);

-- Deleted accounts whose data is still being removed; their events up to `below_seq` are hidden.
CREATE TABLE purge (
    account   INTEGER PRIMARY KEY,
    below_seq INTEGER NOT NULL
) STRICT;

-- Accounts whose records are being replaced by an import; their head does not fit meanwhile.
CREATE TABLE import (
    account INTEGER PRIMARY KEY
) STRICT;
