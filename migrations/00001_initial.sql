-- +goose Up

-- Small facts about this installation, such as the sealed index key.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

-- One row per thing that running servers keep in memory; a change adds one to
-- its version in the same transaction, and servers look once a second.
CREATE TABLE changes (
    topic   TEXT PRIMARY KEY,
    version BIGINT NOT NULL
);

-- People. The id is the OpenID subject: random, never derived from the number.
CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    status       TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'closing', 'quarantined')),
    claims       TEXT NOT NULL,         -- JSON, standard OpenID claims but the phone's
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    grants_after BIGINT NOT NULL DEFAULT 0, -- sessions and grants of a sign-in at this time or before do not stand
    seen_at      BIGINT NOT NULL DEFAULT 0, -- last sign-in, to the day: the first one of that day
    closes_at    BIGINT,                -- when a closing or quarantined account is erased
    exported_at  BIGINT NOT NULL DEFAULT 0  -- when the person last took a copy of their data
);
CREATE INDEX users_created ON users (created_at, id);
CREATE INDEX users_closing ON users (closes_at) WHERE closes_at IS NOT NULL;

-- What a person is found by. Only live identifiers are here, so the key is unique.
CREATE TABLE identifiers (
    kind        TEXT NOT NULL CHECK (kind IN ('phone', 'username', 'email')),
    lookup      BYTEA NOT NULL,         -- HMAC-SHA-256 of the canonical value
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sealed      BYTEA NOT NULL,         -- AES-256-GCM of the canonical value
    verified_at BIGINT NOT NULL,
    PRIMARY KEY (kind, lookup)
);
CREATE UNIQUE INDEX identifiers_user ON identifiers (user_id, kind);

-- A password is optional. It is replaced where it still is what it was when it was
-- verified, so a sign-in is before or after a change, never beside it.
CREATE TABLE passwords (
    user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL,           -- argon2id, or an imported one until its first use
    changed_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL          -- 0: never
);

-- Wrong passwords and second factors, counted before they are compared. What is
-- counted is an account's factor, or an identifier as it was typed, be it anybody's
-- or nobody's; a right one deletes the row.
CREATE TABLE credential_failures (
    lookup    BYTEA PRIMARY KEY,        -- HMAC-SHA-256 of what is counted
    user_id   TEXT REFERENCES users (id) ON DELETE CASCADE, -- NULL if it is nobody's
    failures  BIGINT NOT NULL,          -- until 15 minutes pass without one
    last_at   BIGINT NOT NULL,
    next_at   BIGINT NOT NULL           -- nothing is compared before; 0: now
);
CREATE INDEX credential_failures_user ON credential_failures (user_id);
CREATE INDEX credential_failures_idle ON credential_failures (last_at);

-- An authenticator app, RFC 6238. pending is a secret that no code has shown yet to
-- have arrived; the active one goes on meanwhile.
CREATE TABLE totp (
    user_id      TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed       BYTEA,
    pending      BYTEA,
    confirmed_at BIGINT NOT NULL,       -- of sealed; 0 before
    last_step    BIGINT NOT NULL        -- the newest time step that a code was taken of
);

-- Recovery codes. Their keyed hashes stay after use, so that a person sees when.
CREATE TABLE recovery_codes (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    lookup     BYTEA NOT NULL,          -- HMAC-SHA-256 of user and code
    created_at BIGINT NOT NULL,
    used_at    BIGINT,
    PRIMARY KEY (user_id, lookup)
);

-- The number that an account had before it went to somebody else, for operators
-- who give the account back to its owner. Nobody signs in by it.
CREATE TABLE former_numbers (
    user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    lookup  BYTEA NOT NULL,             -- as in identifiers
    sealed  BYTEA NOT NULL,
    since   BIGINT NOT NULL
);
CREATE INDEX former_numbers_lookup ON former_numbers (lookup);

-- A person's picture, made by us from what they sent. Its id is in its address.
CREATE TABLE pictures (
    user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    id         TEXT NOT NULL UNIQUE,
    type       TEXT NOT NULL,
    data       BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- Which version of the terms a person agreed to, when and for which client.
CREATE TABLE agreements (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    version    TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    locale     TEXT NOT NULL,
    ip_prefix  TEXT NOT NULL,
    agreed_at  BIGINT NOT NULL
);
CREATE INDEX agreements_user ON agreements (user_id, agreed_at);

-- Browser sessions. The id is the sid claim; the cookie carries a secret too.
CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret_hash BYTEA NOT NULL,
    auth_time   BIGINT NOT NULL,
    amr         TEXT NOT NULL,          -- space-separated, RFC 8176
    acr         TEXT NOT NULL,
    user_agent  TEXT NOT NULL,
    ip_prefix   TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    ended_at    BIGINT
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- OAuth clients; metadata is JSON with the member names of RFC 7591.
CREATE TABLE clients (
    client_id   TEXT PRIMARY KEY,
    metadata    TEXT NOT NULL,
    secret_hash TEXT NOT NULL,          -- '' for a public client
    source      TEXT NOT NULL CHECK (source IN ('static', 'operator')),
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- What a person allowed a client, remembered.
CREATE TABLE consents (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  TEXT NOT NULL REFERENCES clients (client_id) ON DELETE CASCADE,
    scope      TEXT NOT NULL,           -- space-separated
    granted_at BIGINT NOT NULL,         -- first
    changed_at BIGINT NOT NULL,         -- last
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consents_client ON consents (client_id);

-- One row per grant, that is per family of refresh tokens. Its id is inside the
-- authorization code, so inserting it is what redeems the code, once. No foreign
-- key to clients: thousands of inserts a second would share-lock one client's row;
-- deleting a client deletes its grants in the same transaction instead.
CREATE TABLE grants (
    id          TEXT PRIMARY KEY,
    client_id   TEXT NOT NULL,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id  TEXT NOT NULL,          -- '' where no browser session stands behind it
    scope       TEXT NOT NULL,
    audience    TEXT NOT NULL,
    auth_time   BIGINT NOT NULL,
    amr         TEXT NOT NULL,
    acr         TEXT NOT NULL,
    salt        BYTEA NOT NULL,
    generation  BIGINT NOT NULL,        -- of the newest refresh token; 0 means none was issued
    rotated_at  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT
);
CREATE INDEX grants_user ON grants (user_id, client_id);
CREATE INDEX grants_session ON grants (session_id);
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_expiry ON grants (expires_at);

-- Single access tokens that were revoked before their time; kept until they expire.
CREATE TABLE revoked_tokens (
    jti        TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at);

-- Signing keys, private part sealed. At most one active and one next per algorithm.
CREATE TABLE signing_keys (
    kid          TEXT PRIMARY KEY,
    alg          TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('next', 'active', 'retired')),
    sealed       BYTEA NOT NULL,
    public_jwk   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT,
    retired_at   BIGINT
);
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (alg) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_next ON signing_keys (alg) WHERE state = 'next';

-- Numbers that codes were asked for. The row is the lock under which a number's
-- budget is counted and the home of its failure counters.
CREATE TABLE sms_numbers (
    lookup      BYTEA PRIMARY KEY,      -- HMAC-SHA-256 of the E.164 number
    touched_at  BIGINT NOT NULL,        -- the day it was last used, so that the index rarely changes
    failures    TEXT NOT NULL,          -- times of strangers' recent wrong tries, oldest first: 16 digits of Unix microseconds and a space each
    consecutive BIGINT NOT NULL,        -- strangers' wrong tries since the last right one of anybody
    known_failures    TEXT NOT NULL,    -- the same of recognised devices
    known_consecutive BIGINT NOT NULL
);
CREATE INDEX sms_numbers_idle ON sms_numbers (touched_at);

-- One one-time code for one number, purpose, client and flow.
CREATE TABLE sms_challenges (
    id          TEXT PRIMARY KEY,
    lookup      BYTEA NOT NULL,
    sealed      BYTEA NOT NULL,         -- the number and the code, to send the same code again
    purpose     TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    flow        BYTEA NOT NULL,         -- what may redeem it
    known_device BOOLEAN NOT NULL,      -- whether a recognised device asked for it: where its wrong tries are charged
    code_mac    BYTEA NOT NULL,
    tries       BIGINT NOT NULL,
    max_tries   BIGINT NOT NULL,
    sends       BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    sent_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    consumed_at BIGINT
);
CREATE INDEX sms_challenges_flow ON sms_challenges (flow, created_at);
CREATE INDEX sms_challenges_expiry ON sms_challenges (expires_at);

-- The ledger: a row for every message asked for, written before the call. A
-- number's budget is counted from it.
CREATE TABLE sms_ledger (
    id           TEXT PRIMARY KEY,      -- the message id given to the provider
    challenge_id TEXT NOT NULL,
    lookup       BYTEA NOT NULL,
    purpose      TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    region       TEXT NOT NULL,
    prefix       BYTEA NOT NULL,        -- keyed hash of the number without its last four digits
    known_device BOOLEAN NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('reserved', 'accepted', 'rejected', 'unknown')),
    provider     TEXT NOT NULL,         -- the one that is asked first, later the last that was asked
    provider_ref TEXT NOT NULL,
    reason       TEXT NOT NULL,
    cost         BIGINT NOT NULL DEFAULT 0,  -- millionths of the configured currency
    reserved_at  BIGINT NOT NULL,
    settled_at   BIGINT,
    receipt      TEXT NOT NULL DEFAULT '' CHECK (receipt IN ('', 'delivered', 'undelivered')),
    receipt_code TEXT NOT NULL DEFAULT '',   -- class and the provider's word for an undelivered one
    receipt_at   BIGINT
);
CREATE INDEX sms_ledger_number ON sms_ledger (lookup, reserved_at);
CREATE INDEX sms_ledger_time ON sms_ledger (reserved_at);

-- Providers that are not asked for a while, for operators to see; each server
-- decides for itself.
CREATE TABLE sms_providers (
    name       TEXT PRIMARY KEY,
    state      TEXT NOT NULL CHECK (state IN ('closed', 'half-open', 'open')),
    reason     TEXT NOT NULL,           -- class and code of the last failure
    until_at   BIGINT NOT NULL,         -- when an open one is tried again
    changed_at BIGINT NOT NULL
);

-- Who did what to what, append only; erasing an account takes the person out.
CREATE TABLE audit (
    id        TEXT PRIMARY KEY,
    at        BIGINT NOT NULL,
    event     TEXT NOT NULL,
    actor     TEXT NOT NULL,            -- 'user:ID', 'client:ID', 'operator' or 'system'
    user_id   TEXT NOT NULL,
    client_id TEXT NOT NULL,
    ip        TEXT NOT NULL,
    detail    TEXT NOT NULL             -- JSON
);
CREATE INDEX audit_user ON audit (user_id, at);
CREATE INDEX audit_time ON audit (at);
