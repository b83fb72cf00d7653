-- What operators and moderators asked for. Rows are never changed or removed.

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at_ms   INTEGER NOT NULL,
    who     TEXT NOT NULL,
    method  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
) STRICT;

-- A takedown with an end is a suspension.
ALTER TABLE account ADD COLUMN suspended_until_ms INTEGER;
CREATE INDEX account_suspended ON account (suspended_until_ms) WHERE suspended_until_ms IS NOT NULL;
