-- What is published of an admitted package: the same model in bytes that we wrote (protocol::package::canonical). The
-- uploaded bytes stay what receipts name.
CREATE TABLE published_files (
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (submission_id, path)
) STRICT, WITHOUT ROWID;
