-- +goose Up

-- What clients are still to be told, written with what it tells of. Taking a row
-- to deliver moves due_at on, so that one server delivers at a time.
CREATE TABLE outbox (
    id         TEXT PRIMARY KEY,        -- the jti of the token that tells it
    client_id  TEXT NOT NULL,           -- no foreign key: the row goes when its client has
    event      TEXT NOT NULL CHECK (event IN ('account-purged')),
    sealed     BYTEA NOT NULL,          -- the subject
    created_at BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    tries      BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at);
