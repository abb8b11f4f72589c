-- Changes of the reward, announced for a later round: never for the one that runs, and never taken back.
CREATE TABLE reward_changes (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    from_round INTEGER NOT NULL,
    reward TEXT NOT NULL,
    announced_at INTEGER NOT NULL,
    PRIMARY KEY (competition_id, from_round)
) STRICT, WITHOUT ROWID;
