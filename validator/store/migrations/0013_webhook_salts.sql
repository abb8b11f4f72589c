-- The key of a webhook's signatures follows from the validator's own key, the webhook's name and a salt: a copy of this
-- database signs nothing. Keys that lay here are worth nothing any more; whoever had one registers again.
ALTER TABLE webhooks DROP COLUMN secret;
ALTER TABLE webhooks ADD COLUMN salt TEXT NOT NULL DEFAULT '';
UPDATE webhooks SET ended = 'its key was stored, which keys no longer are: register it again' WHERE ended IS NULL;
