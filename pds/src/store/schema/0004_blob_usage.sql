-- What an account's blobs take up, kept by the rows themselves: an upload is held against its
-- quota without counting an account's blobs again.
CREATE TABLE blob_usage (
    account INTEGER PRIMARY KEY,
    count   INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT;

INSERT INTO blob_usage (account, count, bytes)
    SELECT account, count(*), sum(size) FROM blob GROUP BY account;

CREATE TRIGGER blob_comes AFTER INSERT ON blob BEGIN
    INSERT INTO blob_usage (account, count, bytes) VALUES (NEW.account, 1, NEW.size)
        ON CONFLICT (account) DO UPDATE SET count = count + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER blob_goes AFTER DELETE ON blob BEGIN
    UPDATE blob_usage SET count = count - 1, bytes = bytes - OLD.size WHERE account = OLD.account;
    DELETE FROM blob_usage WHERE account = OLD.account AND count = 0;
END;
