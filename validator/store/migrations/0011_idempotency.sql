-- What requests with an Idempotency-Key came to, for a day: the same request again is the same submission again, whatever
-- became of it, and another request under the same key is an error.
CREATE TABLE idempotency_keys (
    hotkey TEXT NOT NULL,
    key TEXT NOT NULL,
    -- The digest of the body that was signed.
    request_sha256 TEXT NOT NULL,
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    at INTEGER NOT NULL,
    PRIMARY KEY (hotkey, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at);
