-- +goose Up

-- Passkeys: public keys that a person signs in with (WebAuthn). The id is the
-- credential's own, in base64url.
CREATE TABLE passkeys (
    id              TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name            TEXT NOT NULL,
    public_key      BYTEA NOT NULL,         -- COSE_Key
    sign_count      BIGINT NOT NULL,        -- the highest that was seen; 0 if the authenticator does not count
    backup_eligible BOOLEAN NOT NULL,       -- may be synchronised between devices; never changes
    backed_up       BOOLEAN NOT NULL,
    aaguid          TEXT NOT NULL,          -- model of the authenticator, '' if it does not say
    transports      TEXT NOT NULL,          -- space-separated
    created_at      BIGINT NOT NULL,
    used_at         BIGINT
);
CREATE INDEX passkeys_user ON passkeys (user_id, created_at);
