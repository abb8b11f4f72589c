-- Until when the first byte of a submission's files must have come; NULL once it did, and where files don't pass us.
ALTER TABLE submissions ADD COLUMN first_byte_until INTEGER;
