-- Where something was done from is remembered by keyed digests of the address and of the networks that it lies in: enough for
-- shares and fair turns, and nothing that can be read. What stood here in plain text is forgotten.
UPDATE submissions SET address = '';
ALTER TABLE submissions ADD COLUMN network_56 TEXT NOT NULL DEFAULT '';
ALTER TABLE submissions ADD COLUMN network_48 TEXT NOT NULL DEFAULT '';
CREATE INDEX submissions_by_origin ON submissions (state, address, network_56, network_48, hotkey);

DELETE FROM machine_time;
ALTER TABLE machine_time ADD COLUMN network_48 TEXT NOT NULL DEFAULT '';

ALTER TABLE webhooks ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE webhooks ADD COLUMN network_56 TEXT NOT NULL DEFAULT '';
ALTER TABLE webhooks ADD COLUMN network_48 TEXT NOT NULL DEFAULT '';
