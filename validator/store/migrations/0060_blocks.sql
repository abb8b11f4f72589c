-- Whom the operator blocked: hotkeys and networks. Each act is a leaf of the public log, too.

CREATE TABLE blocks (
    -- A hotkey as SS58, or a network in CIDR notation.
    who TEXT PRIMARY KEY,
    -- In the operator's words.
    reason TEXT NOT NULL,
    -- When, in Unix seconds.
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
