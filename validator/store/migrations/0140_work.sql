-- What the machine is asked for beside submissions, a row each: by rounds, and by who publishes. A submission's own row is its place
-- in the same queue.
CREATE TABLE work (
    -- Order of arrival.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What it is about: nothing is asked twice.
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('round_entry', 'teacher', 'publication', 'form')),
    -- Of a publication: the name that the competition will have.
    competition_id TEXT NOT NULL,
    round INTEGER,
    submission_id TEXT REFERENCES submissions (id),
    -- All of the question, as JSON.
    asked TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done')),
    -- The fence: whoever took an attempt writes while it is this one.
    attempt INTEGER NOT NULL DEFAULT 0,
    -- Attempts that came to nothing through our fault.
    failures INTEGER NOT NULL DEFAULT 0,
    -- Of the measurement under way, where the public log states it: its number and its seed.
    measurement INTEGER,
    seed INTEGER,
    -- What the latencies of earlier attempts were judged, a list.
    verdicts TEXT NOT NULL DEFAULT '[]',
    -- Where no other row has it: what was said, or why nothing was.
    answer TEXT,
    changed_at INTEGER NOT NULL,
    -- When the next attempt may begin, in Unix seconds.
    retry_at INTEGER NOT NULL DEFAULT 0,
    -- Until when somebody waits for it; NULL: whoever asked finds it whenever he comes back.
    wanted_until INTEGER,
    FOREIGN KEY (competition_id, round) REFERENCES rounds (competition_id, round)
) STRICT;
CREATE INDEX work_by_state ON work (state, kind, competition_id, id);
CREATE INDEX work_by_round ON work (competition_id, round, state);

-- For whom of them the machine worked lately.
CREATE TABLE work_time (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    competition_id TEXT NOT NULL,
    -- When the work ended, in Unix seconds, and how long it took.
    ended_at INTEGER NOT NULL,
    used_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX work_time_by_end ON work_time (ended_at);
