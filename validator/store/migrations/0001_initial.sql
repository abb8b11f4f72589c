-- The truth about competitions and submissions. Times are Unix seconds; JSON is canonical.

CREATE TABLE competitions (
    id TEXT PRIMARY KEY NOT NULL,
    -- What was published: the digest of manifest and packages, so that publishing the same again changes nothing.
    source_sha256 TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    competition TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    -- Secrets of the split: which items are hidden, and the salt of the commitment to them.
    split_key BLOB NOT NULL,
    salt BLOB NOT NULL,
    -- A private object: the hidden images that rounds draw from, with labels.
    pool_sha256 TEXT NOT NULL
) STRICT;

CREATE TABLE models (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    role TEXT NOT NULL CHECK (role IN ('teacher', 'reference')),
    package_sha256 TEXT NOT NULL,
    report TEXT NOT NULL,
    score TEXT NOT NULL,
    PRIMARY KEY (competition_id, role)
) STRICT;

CREATE TABLE submissions (
    -- Order of arrival: ties of the score go to the earlier.
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    hotkey TEXT NOT NULL,
    package_sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    upload_until INTEGER NOT NULL,
    -- Evaluations handed out and lost so far, those that failed through our fault, and when the next may begin.
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER NOT NULL DEFAULT 0,
    code TEXT,
    detail TEXT,
    architecture TEXT,
    costs TEXT
) STRICT;

-- One living entry of a package per hotkey and competition; failures of ours and expired ones may be tried again.
CREATE UNIQUE INDEX submissions_once ON submissions (competition_id, hotkey, package_sha256)
    WHERE state NOT IN ('failed', 'expired');
CREATE INDEX submissions_by_state ON submissions (state, arrival);
CREATE INDEX submissions_by_hotkey ON submissions (hotkey, competition_id, created_at);

CREATE TABLE submission_files (
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (submission_id, path)
) STRICT;

-- Upload tokens are kept as digests, so that a copy of the database opens nothing.
CREATE TABLE upload_tokens (
    token_sha256 TEXT PRIMARY KEY NOT NULL,
    submission_id TEXT NOT NULL,
    path TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    FOREIGN KEY (submission_id, path) REFERENCES submission_files (submission_id, path)
) STRICT;

CREATE INDEX upload_tokens_by_file ON upload_tokens (submission_id, path);

-- Every change of state, in order.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    at INTEGER NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    code TEXT,
    detail TEXT
) STRICT;
CREATE INDEX events_by_submission ON events (submission_id, id);

-- The primary key is what makes results exactly once.
CREATE TABLE evaluations (
    submission_id TEXT PRIMARY KEY NOT NULL REFERENCES submissions (id),
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    report TEXT NOT NULL,
    report_sha256 TEXT NOT NULL,
    logits_sha256 TEXT NOT NULL,
    outcomes_sha256 TEXT NOT NULL,
    probe_logits_sha256 TEXT NOT NULL,
    receipt_sha256 TEXT NOT NULL,
    score TEXT NOT NULL,
    score_ppm INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    evaluated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX evaluations_by_competition ON evaluations (competition_id);

-- What anybody may download; derived from the tables above.
CREATE TABLE public_objects (
    sha256 TEXT PRIMARY KEY NOT NULL,
    size_bytes INTEGER NOT NULL,
    filename TEXT NOT NULL
) STRICT;

CREATE TABLE nonces (
    hotkey TEXT NOT NULL,
    nonce_ns INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (hotkey, nonce_ns)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_age ON nonces (seen_at);

CREATE TABLE weight_rounds (
    round INTEGER PRIMARY KEY NOT NULL,
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    weights TEXT NOT NULL,
    set_at INTEGER NOT NULL
) STRICT;
