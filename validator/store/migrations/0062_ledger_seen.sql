-- How far the ledger's file was when it was last looked at: a ledger that is shorter, or another, is none to go on with.

CREATE TABLE ledger_seen (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- The height of its last entry.
    height INTEGER NOT NULL,
    -- The hash of that entry.
    hash TEXT NOT NULL
) STRICT;
