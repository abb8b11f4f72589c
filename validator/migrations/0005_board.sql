-- What the board is made of beyond evaluations. JSON is canonical.

-- Resampled composites (`RTREP1`), drawn once when an evaluation is recorded; derived from its outcomes, so that a row
-- that is missing or of an older format is drawn again.
CREATE TABLE replicates (
    submission_id TEXT PRIMARY KEY NOT NULL REFERENCES evaluations (submission_id),
    bytes BLOB NOT NULL
) STRICT;

-- What became of each attempt to dethrone the champion. The board shows every row, so a round's rows are written when it
-- is revealed and not before.
CREATE TABLE verdicts (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    round INTEGER NOT NULL,
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    verdict TEXT NOT NULL,
    PRIMARY KEY (competition_id, submission_id, round)
) STRICT, WITHOUT ROWID;

-- Right answers in a revealed round: of a submission, or of the teacher, whose name here is `teacher`.
CREATE TABLE round_results (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    round INTEGER NOT NULL,
    submission_id TEXT NOT NULL,
    hidden_correct INTEGER NOT NULL,
    hidden_items INTEGER NOT NULL,
    public_correct INTEGER NOT NULL,
    public_items INTEGER NOT NULL,
    PRIMARY KEY (competition_id, submission_id, round)
) STRICT, WITHOUT ROWID;
