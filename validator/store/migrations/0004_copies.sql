-- Copies: what the teacher says of the secret probes, each submission's fingerprint, and pairs that are not independent.

CREATE TABLE copy_probes (
    competition_id TEXT PRIMARY KEY NOT NULL REFERENCES competitions (id),
    -- A private object: the teacher's logits on the probes, f32 little-endian.
    teacher_logits_sha256 TEXT NOT NULL
) STRICT;

-- A row is there once a submission was compared with every other one that had a row.
CREATE TABLE fingerprints (
    submission_id TEXT PRIMARY KEY NOT NULL REFERENCES submissions (id),
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    -- A private object, or why there is none.
    fingerprint_sha256 TEXT,
    problem TEXT,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX fingerprints_by_competition ON fingerprints (competition_id);

-- Pairs that aren't independent; what isn't here can be computed again from the fingerprints.
CREATE TABLE copy_pairs (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    -- Order of arrival decides which is which.
    later TEXT NOT NULL REFERENCES submissions (id),
    earlier TEXT NOT NULL REFERENCES submissions (id),
    relation TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (later, earlier)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_pairs_by_earlier ON copy_pairs (earlier);
CREATE INDEX copy_pairs_by_competition ON copy_pairs (competition_id);
