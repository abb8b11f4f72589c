-- Who wants to be told: a reader of the feed with an address. What it was told is its cursor, so nothing is told that
-- wasn't committed, and nothing is forgotten while it can't be reached.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY NOT NULL,
    -- Who registered it.
    hotkey TEXT NOT NULL,
    -- NULL: its own submissions, wherever they are.
    competition_id TEXT REFERENCES competitions (id),
    url TEXT NOT NULL,
    -- The key of its signatures.
    secret TEXT NOT NULL,
    -- The number of the last event that it was told or that wasn't for it.
    cursor INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    -- Why it is told nothing any more.
    ended TEXT
) STRICT;
CREATE INDEX webhooks_by_hotkey ON webhooks (hotkey);
