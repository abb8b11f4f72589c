-- Whose machine a worker is, and so how far its word goes.
ALTER TABLE enrolments ADD COLUMN trust TEXT NOT NULL DEFAULT 'own' CHECK (trust IN ('own', 'partner', 'rented'));
ALTER TABLE fleet_workers ADD COLUMN trust TEXT NOT NULL DEFAULT 'own' CHECK (trust IN ('own', 'partner', 'rented'));
-- Of what it said: how often a machine of our own said the same.
ALTER TABLE fleet_workers ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;

-- The worker whose word an evaluation is, where it isn't a machine of our own.
ALTER TABLE evaluations ADD COLUMN worker TEXT;

-- What a worker said that isn't ours, until a machine of our own measured the submission, too: nothing else counts then.
CREATE TABLE unconfirmed (
    submission_id TEXT PRIMARY KEY REFERENCES submissions (id),
    worker TEXT NOT NULL,
    -- That it was measured, that the package can't be, or nothing.
    said TEXT NOT NULL CHECK (said IN ('measured', 'rejected', 'nothing')),
    -- Where it was measured: the outputs, as the report names them.
    outputs_sha256 TEXT,
    at INTEGER NOT NULL
) STRICT;

DROP VIEW fleet;
CREATE VIEW fleet AS SELECT fleet_workers.*, (
    SELECT submission_id FROM holds JOIN submissions ON submissions.id = submission_id
    WHERE holds.worker = fleet_workers.key AND submissions.state = 'evaluating' AND submissions.attempt = holds.attempt
) AS measures FROM fleet_workers;
