-- What each latency measurement said about the host: its control (the reference beside itself, whose truth is 1), how
-- wide its interval was and what the rules made of it. For the operator; the newest ten thousand are kept.
CREATE TABLE latency_controls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    submission_id TEXT NOT NULL REFERENCES submissions (id),
    -- 0 launches where the control was not made.
    control_launches INTEGER NOT NULL,
    control_ppm INTEGER NOT NULL,
    ratio_ppm INTEGER NOT NULL,
    half_width_ppm INTEGER NOT NULL,
    launches INTEGER NOT NULL,
    overhead_ppm INTEGER NOT NULL,
    clock TEXT NOT NULL CHECK (clock IN ('parent', 'worker')),
    pinned_core INTEGER,
    -- The verdict as JSON, and whether it blames the host.
    verdict TEXT NOT NULL,
    unstable INTEGER NOT NULL CHECK (unstable IN (0, 1))
) STRICT;
CREATE INDEX latency_controls_by_submission ON latency_controls (submission_id);
