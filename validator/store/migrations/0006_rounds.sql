-- Rounds: what each was bound to before it closed, how far it is, who was measured in it and what came of it.

DROP TABLE weight_rounds;

CREATE TABLE rounds (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    -- From 1 upwards; the next one opens when this one is revealed or abandoned.
    round INTEGER NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('open', 'closed', 'abandoned', 'drawn', 'screened', 'measured', 'judged', 'paid', 'revealed')),
    opened_at INTEGER NOT NULL,
    -- NULL: it closes by command only.
    closes_at INTEGER,
    changed_at INTEGER NOT NULL,
    -- Not to be shown before the round is revealed.
    secret BLOB NOT NULL,
    -- Under which the ledger has its weights: one number a paid round, whatever the competition.
    epoch INTEGER UNIQUE,
    record TEXT NOT NULL,
    PRIMARY KEY (competition_id, round)
) STRICT;
-- One round of a competition is under way at a time.
CREATE UNIQUE INDEX rounds_under_way ON rounds (competition_id) WHERE step NOT IN ('revealed', 'abandoned');

-- The primary key makes a round's results exactly once.
CREATE TABLE round_entries (
    competition_id TEXT NOT NULL,
    round INTEGER NOT NULL,
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    role TEXT NOT NULL CHECK (role IN ('champion', 'challenger', 'screened')),
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Its answers to the first fresh items, once it is screened.
    screening TEXT,
    -- One of both once it is measured.
    result TEXT,
    failure TEXT,
    verdict TEXT,
    PRIMARY KEY (competition_id, round, submission_id),
    FOREIGN KEY (competition_id, round) REFERENCES rounds (competition_id, round)
) STRICT;
CREATE INDEX round_entries_by_submission ON round_entries (submission_id, round);
