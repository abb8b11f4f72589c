-- What the Hub protocol shows. Revisions are made from other tables when somebody first asks for one and stay as they
-- are from then on, so that a commit means the same bytes for ever, whatever a later version would write.

CREATE TABLE hub_revisions (
    -- `arena/digits`, `teachers/digits`, `submissions/…`, `datasets/arena/digits`.
    repository TEXT NOT NULL,
    -- Whose model or data it is.
    subject TEXT NOT NULL,
    -- 40 hex digits over its files.
    commit_id TEXT NOT NULL,
    -- Paths with sizes and digests, as JSON; the objects are public.
    files TEXT NOT NULL,
    -- The front matter of its card, as JSON.
    card TEXT NOT NULL,
    -- When what it shows came to be.
    at INTEGER NOT NULL,
    PRIMARY KEY (repository, subject),
    UNIQUE (repository, commit_id)
) STRICT, WITHOUT ROWID;

-- Tokens that submit for a hotkey, for clients that can't sign. Kept as digests, so that a copy of the database opens
-- nothing.
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    hotkey TEXT NOT NULL,
    label TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX api_tokens_by_hotkey ON api_tokens (hotkey, expires_at);
