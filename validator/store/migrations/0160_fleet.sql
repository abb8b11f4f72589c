-- Workers on other machines, each with a key of its own; the job engine has a table of workers, too.
CREATE TABLE fleet_workers (
    key TEXT PRIMARY KEY,
    -- What the operator calls it.
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('active', 'draining', 'quarantined', 'revoked')),
    -- Of a state that somebody chose: why.
    reason TEXT,
    -- Since when it stands so.
    stands_since INTEGER NOT NULL,
    -- What it said of itself last, as JSON.
    facts TEXT NOT NULL,
    enrolled_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    -- Of what it claimed: answered, failed through its fault, and never heard of again.
    answered INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Tokens that let one worker in, each until it is used or its time is over.
CREATE TABLE enrolments (
    token_sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL
) STRICT;

-- What a worker elsewhere has claimed: good while the submission is at this attempt. It outlives this process.
CREATE TABLE holds (
    submission_id TEXT PRIMARY KEY REFERENCES submissions (id),
    attempt INTEGER NOT NULL,
    claim TEXT NOT NULL UNIQUE,
    worker TEXT NOT NULL REFERENCES fleet_workers (key),
    -- Part of the addresses that its files have.
    secret TEXT NOT NULL,
    -- The measurement, as the public log states it.
    measurement INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    -- Until when it is the worker's unless it is renewed.
    held_until INTEGER NOT NULL,
    -- Workers that had this submission and were never heard of again.
    losses INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX holds_by_worker ON holds (worker);

-- The worker elsewhere whose machine a control tells of; NULL for the validator's own.
ALTER TABLE latency_controls ADD COLUMN worker TEXT;
CREATE INDEX latency_controls_by_worker ON latency_controls (worker, id);

-- Workers, each with the submission that it measures.
CREATE VIEW fleet AS SELECT fleet_workers.*, (
    SELECT submission_id FROM holds JOIN submissions ON submissions.id = submission_id
    WHERE holds.worker = fleet_workers.key AND submissions.state = 'evaluating' AND submissions.attempt = holds.attempt
) AS measures FROM fleet_workers;
