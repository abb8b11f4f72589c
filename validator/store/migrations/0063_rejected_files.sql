-- The files of submissions that were rejected and never scored: no round, no audit and no page needs their bytes.

CREATE VIEW rejected_files AS
    SELECT f.submission_id, f.path, f.sha256, s.changed_at AS rejected_at
    FROM (SELECT submission_id, path, sha256 FROM submission_files WHERE stored = 1
          UNION SELECT submission_id, path, sha256 FROM published_files) f
    JOIN submissions s ON s.id = f.submission_id
    WHERE s.state = 'rejected'
        AND NOT EXISTS (SELECT 1 FROM evaluations e WHERE e.submission_id = s.id)
        AND NOT EXISTS (SELECT 1 FROM round_entries r WHERE r.submission_id = s.id);
