-- What a round's screening saw of a member and what it had to reach: reckoning that again would read all of its objects.
ALTER TABLE round_entries ADD COLUMN seen TEXT;
