-- Whom the operator registers beside a serving process, which alone writes the ledger.
CREATE TABLE registrations_due (
    hotkey TEXT PRIMARY KEY,
    owner  TEXT NOT NULL
) STRICT;
