-- +goose Up

-- The browser session that outlived the last move of grants_after, '' for none: it
-- goes on although its sign-in is older.
ALTER TABLE users ADD COLUMN kept_session TEXT NOT NULL DEFAULT '';

-- When somebody who had shown one factor only changed what the account can show; for a
-- day nothing newer is a second factor.
ALTER TABLE users ADD COLUMN weakened_at BIGINT NOT NULL DEFAULT 0;

-- Wrong codes in a row, of sign-ins that waited for one.
ALTER TABLE totp ADD COLUMN wrong BIGINT NOT NULL DEFAULT 0;
