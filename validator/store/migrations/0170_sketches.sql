-- A few bytes of each fingerprint, by which those are found that a new one is compared with. Without them it is always.
ALTER TABLE fingerprints ADD COLUMN canonical_sha256 TEXT;
ALTER TABLE fingerprints ADD COLUMN numbers_sha256 TEXT;
ALTER TABLE fingerprints ADD COLUMN probes_sha256 TEXT;
ALTER TABLE fingerprints ADD COLUMN errors BLOB;
ALTER TABLE fingerprints ADD COLUMN units BLOB;

-- What sketches are made with, so that nobody else knows what is near what.
CREATE TABLE sketch_key (key BLOB NOT NULL) STRICT;
INSERT INTO sketch_key (key) VALUES (randomblob(32));
