-- What is asked for with every submission must not read all that came before: whom the comparison is due, and how long
-- the last evaluations took.
ALTER TABLE evaluations ADD COLUMN compared INTEGER NOT NULL DEFAULT 0;
UPDATE evaluations SET compared = 1 WHERE submission_id IN (SELECT submission_id FROM fingerprints);
CREATE INDEX evaluations_to_compare ON evaluations (competition_id) WHERE compared = 0;
CREATE INDEX evaluations_by_time ON evaluations (evaluated_at, duration_ms);
