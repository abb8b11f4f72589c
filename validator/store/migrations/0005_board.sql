-- Resampled composites (`RTREP1`), drawn once when an evaluation is recorded; derived from its outcomes, so that a row
-- that is missing or of an older format is drawn again.
CREATE TABLE replicates (
    submission_id TEXT PRIMARY KEY NOT NULL REFERENCES evaluations (submission_id),
    bytes BLOB NOT NULL
) STRICT;
