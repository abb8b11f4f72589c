-- What happens and everybody may know, in order: what streams and webhooks tell. Triggers write it in the transaction of
-- the change itself, so that no change is told that didn't happen, and none that happened is forgotten. Numbers only grow.

CREATE TABLE feed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('competition', 'submission', 'round', 'reward')),
    competition_id TEXT NOT NULL,
    -- Of a submission: who, from where, to where, and why.
    submission_id TEXT,
    hotkey TEXT,
    from_state TEXT,
    state TEXT,
    code TEXT,
    -- Of a round or a reward: which, and how far it is.
    round INTEGER,
    step TEXT
) STRICT;
CREATE INDEX feed_by_competition ON feed (competition_id, id);
CREATE INDEX feed_by_submission ON feed (submission_id, id) WHERE submission_id IS NOT NULL;
CREATE INDEX feed_by_hotkey ON feed (hotkey, id) WHERE hotkey IS NOT NULL;

INSERT INTO feed (at, kind, competition_id)
    SELECT published_at, 'competition', id FROM competitions ORDER BY published_at, id;
INSERT INTO feed (at, kind, competition_id, submission_id, hotkey, from_state, state, code)
    SELECT e.at, 'submission', s.competition_id, s.id, s.hotkey, e.from_state, e.to_state, e.code
    FROM events e JOIN submissions s ON s.id = e.submission_id ORDER BY e.id;
INSERT INTO feed (at, kind, competition_id, round, step)
    SELECT changed_at, 'round', competition_id, round, step FROM rounds ORDER BY changed_at, competition_id, round;

CREATE TRIGGER feed_competition AFTER INSERT ON competitions BEGIN
    INSERT INTO feed (at, kind, competition_id) VALUES (NEW.published_at, 'competition', NEW.id);
END;
CREATE TRIGGER feed_submission AFTER INSERT ON events BEGIN
    INSERT INTO feed (at, kind, competition_id, submission_id, hotkey, from_state, state, code)
        SELECT NEW.at, 'submission', competition_id, id, hotkey, NEW.from_state, NEW.to_state, NEW.code
        FROM submissions WHERE id = NEW.submission_id;
END;
CREATE TRIGGER feed_round_opens AFTER INSERT ON rounds BEGIN
    INSERT INTO feed (at, kind, competition_id, round, step)
        VALUES (NEW.changed_at, 'round', NEW.competition_id, NEW.round, NEW.step);
END;
CREATE TRIGGER feed_round_moves AFTER UPDATE OF step ON rounds WHEN NEW.step != OLD.step BEGIN
    INSERT INTO feed (at, kind, competition_id, round, step)
        VALUES (NEW.changed_at, 'round', NEW.competition_id, NEW.round, NEW.step);
END;
CREATE TRIGGER feed_reward AFTER INSERT ON reward_changes BEGIN
    INSERT INTO feed (at, kind, competition_id, round)
        VALUES (NEW.announced_at, 'reward', NEW.competition_id, NEW.from_round);
END;
