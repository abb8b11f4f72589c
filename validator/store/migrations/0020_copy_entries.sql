-- Copies across shapes and competitions: entries 0 of each competition, and whose probes it uses.

-- A competition's teacher, its reference, and what its manifest lists as known.
CREATE TABLE copy_entries (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    -- teacher, reference, known-1, known-2, ...
    entry TEXT NOT NULL,
    -- A private object.
    fingerprint_sha256 TEXT NOT NULL,
    PRIMARY KEY (competition_id, entry)
) STRICT, WITHOUT ROWID;

-- Submissions that aren't independent of an entry 0 of their competition.
CREATE TABLE copy_entry_pairs (
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    entry TEXT NOT NULL,
    relation TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (submission_id, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_entry_pairs_by_competition ON copy_entry_pairs (competition_id);

-- The seed of the probes, which competitions with the same inputs and labels share while they run; older ones have
-- their own, which follows from the split key.
ALTER TABLE competitions ADD COLUMN probe_seed TEXT;
