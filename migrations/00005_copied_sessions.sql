-- +goose Up

-- A session that another one let in: its auth_time and amr are that one's, and do
-- for nothing that asks for a fresh proof.
ALTER TABLE sessions ADD COLUMN copied BOOLEAN NOT NULL DEFAULT FALSE;
