-- What its miner took back may be entered again, as what expired may.
DROP INDEX submissions_once;
CREATE UNIQUE INDEX submissions_once ON submissions (competition_id, hotkey, package_sha256)
    WHERE state NOT IN ('failed', 'expired', 'withdrawn');
