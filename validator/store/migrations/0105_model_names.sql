-- What owners call their models. What ended without a score frees its name; the folded form finds names that look alike.
ALTER TABLE submissions ADD COLUMN name TEXT;
ALTER TABLE submissions ADD COLUMN name_folded TEXT;
CREATE INDEX submissions_by_name ON submissions (name_folded) WHERE name_folded IS NOT NULL;
