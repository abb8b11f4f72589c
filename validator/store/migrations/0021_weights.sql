-- The files of packages, as uploaded and as published, and those that nobody may download yet.

CREATE VIEW package_files AS
    SELECT submission_id, path, size_bytes, sha256 FROM submission_files
    UNION ALL
    SELECT submission_id, path, size_bytes, sha256 FROM published_files;

-- Of scored submissions. The round is the first that closes after the announcement, the next one if none is under way that
-- takes it.
CREATE VIEW withheld_files AS
    SELECT s.id AS submission_id, s.competition_id, s.arrival, f.path, f.sha256,
        coalesce(
            (SELECT min(r.round) FROM rounds r WHERE r.competition_id = s.competition_id
                AND (r.closes_at IS NULL OR r.closes_at > s.created_at)),
            (SELECT coalesce(max(r.round), 0) + 1 FROM rounds r WHERE r.competition_id = s.competition_id)
        ) AS round
    FROM submissions s JOIN package_files f ON f.submission_id = s.id
    WHERE s.state = 'scored' AND NOT EXISTS (SELECT 1 FROM public_objects p WHERE p.sha256 = f.sha256);

-- Asked when somebody wants an object that isn't public.
CREATE INDEX submission_files_by_sha256 ON submission_files (sha256);
CREATE INDEX published_files_by_sha256 ON published_files (sha256);
