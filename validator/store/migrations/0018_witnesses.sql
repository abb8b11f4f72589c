-- Cosignatures of the public log's checkpoints. They are kept for ever: a round's check asks long after by when a leaf was
-- seen.

CREATE TABLE cosignatures (
    -- The witness's verifier key.
    witness TEXT NOT NULL,
    -- Entries in the checkpoint.
    size INTEGER NOT NULL,
    -- When it was cosigned, by the witness's clock.
    time INTEGER NOT NULL,
    -- The checkpoint as the log signed it.
    checkpoint TEXT NOT NULL,
    -- The line under it.
    line TEXT NOT NULL,
    PRIMARY KEY (witness, size)
) STRICT, WITHOUT ROWID;
CREATE INDEX cosignatures_by_size ON cosignatures (size);

-- The witnesses that were ever asked, and how it goes.
CREATE TABLE witnesses (
    key TEXT PRIMARY KEY,
    -- What was wrong the last time, and since when something is; nothing while all is well.
    problem TEXT,
    failing_since INTEGER
) STRICT, WITHOUT ROWID;
