-- Whose turn it is: where a submission was announced from, and for whom the machine worked lately.
ALTER TABLE submissions ADD COLUMN address TEXT NOT NULL DEFAULT '';
CREATE TABLE machine_time (
    id INTEGER PRIMARY KEY,
    hotkey TEXT NOT NULL,
    address TEXT NOT NULL,
    -- When the work ended, in Unix seconds, and how long it took.
    ended_at INTEGER NOT NULL,
    used_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX machine_time_by_end ON machine_time (ended_at);
