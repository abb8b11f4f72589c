-- The files that take space: as uploaded, where they came and are kept, and as published.

CREATE VIEW stored_files AS
    SELECT f.submission_id, f.path, f.size_bytes, f.sha256 FROM submission_files f
        JOIN submissions s ON s.id = f.submission_id WHERE f.stored = 1 AND s.state NOT IN ('expired', 'withdrawn')
    UNION
    SELECT submission_id, path, size_bytes, sha256 FROM published_files;
