-- What addresses brought lately by hotkeys that the ledger doesn't know, for the bound on bytes a day.

CREATE TABLE address_bytes (
    -- A keyed digest: which address it is can't be read here.
    address TEXT NOT NULL,
    -- When it was announced, in Unix seconds.
    at INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX address_bytes_by_address ON address_bytes (address, at);
CREATE INDEX address_bytes_by_age ON address_bytes (at);
