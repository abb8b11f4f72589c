-- What hotkeys call themselves. A name stays its owner's for good, so that nobody takes over what somebody was known by.
CREATE TABLE names (
    folded TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hotkey TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX names_by_hotkey ON names (hotkey, at);
