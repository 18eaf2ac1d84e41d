-- +goose Up

-- The browser session that outlived the last move of grants_after, '' for none: it
-- goes on although its sign-in is older.
ALTER TABLE users ADD COLUMN kept_session TEXT NOT NULL DEFAULT '';
