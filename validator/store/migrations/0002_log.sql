-- Leaves on their way into the public log. Whoever changes state writes its leaf in the same transaction; one task
-- appends them in this order and writes down where each is.

CREATE TABLE log_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The leaf's own name: the same thing is stated once.
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    -- Canonical JSON.
    body TEXT NOT NULL,
    -- Its place in the log, once it is there.
    index_in_log INTEGER UNIQUE
) STRICT;
CREATE INDEX log_outbox_pending ON log_outbox (id) WHERE index_in_log IS NULL;
