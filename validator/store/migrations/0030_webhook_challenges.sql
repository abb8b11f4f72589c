-- When an address answered its challenge: before that it is told nothing. Those that are there have answered.
ALTER TABLE webhooks ADD COLUMN confirmed_at INTEGER;
UPDATE webhooks SET confirmed_at = created_at;
