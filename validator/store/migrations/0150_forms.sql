-- A champion's model in other forms, a row each once it is measured.
CREATE TABLE forms (
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    -- As JSON has the word.
    form TEXT NOT NULL,
    -- What was measured of it and where it is, as JSON; NULL where there is none.
    made TEXT,
    -- Why there is none.
    problem TEXT,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (submission_id, form)
) STRICT;
