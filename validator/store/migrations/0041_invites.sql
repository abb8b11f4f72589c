-- Codes that let one hotkey in, each once. They are kept as digests, so that a copy of the database lets nobody in.
CREATE TABLE invites (
    code_sha256 TEXT PRIMARY KEY NOT NULL,
    made_at INTEGER NOT NULL,
    hotkey TEXT,
    used_at INTEGER
) STRICT;
CREATE INDEX invites_by_hotkey ON invites (hotkey) WHERE hotkey IS NOT NULL;
