-- What was changed about a published competition, in order; never taken back.
CREATE TABLE amendments (
    competition_id TEXT NOT NULL REFERENCES competitions (id),
    number INTEGER NOT NULL,
    amendment TEXT NOT NULL,
    PRIMARY KEY (competition_id, number)
) STRICT, WITHOUT ROWID;

-- Told as something that happened to the competition; its number stands where a round's would.
CREATE TRIGGER feed_amendment AFTER INSERT ON amendments BEGIN
    INSERT INTO feed (at, kind, competition_id, round)
        VALUES (NEW.amendment ->> 'at', 'competition', NEW.competition_id, NEW.number);
END;
