package client

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// Where a client comes from.
const (
	SourceStatic   = "static"   // the configuration
	SourceOperator = "operator" // the command line or the operator API
)

// cached is how many clients are kept in memory, those used most.
const cached = 10_000

// Registry is the clients table behind a bounded cache.
type Registry struct {
	db      *db.DB
	audit   *audit.Log
	secrets *secrets
	cache   *otter.Cache[cacheKey, *Client]
	epoch   atomic.Uint64
}

// cacheKey has the epoch in it, so that a client whose row was read before Forget and arrives
// after it is put where nobody looks any more.
type cacheKey struct {
	id    string
	epoch uint64
}

// NewRegistry makes a registry that records changes in a.
func NewRegistry(d *db.DB, v *signing.Vault, a *audit.Log) *Registry {
	return &Registry{
		db:      d,
		audit:   a,
		secrets: newSecrets(v),
		cache:   otter.Must(&otter.Options[cacheKey, *Client]{MaximumSize: cached}),
	}
}

// Get answers db.ErrNotFound for an unknown or disabled client. Only clients that exist are
// cached; any number of callers that ask for one at once cost one read.
func (r *Registry) Get(ctx context.Context, id string) (*Client, error) {
	if id == "" || len(id) > maxID {
		return nil, db.ErrNotFound
	}
	return r.cache.Get(ctx, cacheKey{id, r.epoch.Load()}, otter.LoaderFunc[cacheKey, *Client](r.load))
}

func (r *Registry) load(ctx context.Context, key cacheKey) (*Client, error) {
	c, err := r.Read(ctx, key.id)
	if err != nil {
		return nil, err
	}
	if c.Disabled {
		return nil, fmt.Errorf("client is disabled: %w", db.ErrNotFound)
	}
	return &c, nil
}

// Forget makes every Get read again: topic "clients" changed.
func (r *Registry) Forget() {
	r.epoch.Add(1)
	r.cache.InvalidateAll() // frees the memory; the epoch is what counts
}

// CheckSecret says whether secret is the client's: ErrAuthentication if not. A c of nil, a client
// that nobody knows, takes as long as a wrong secret. Weak secrets that were brought along wait for
// argon2id, at most two at once, and for nothing if they were right within ten minutes;
// fault.Unavailable if the wait is too long. Only such a secret can be guessed; see Guess.
func (r *Registry) CheckSecret(ctx context.Context, c *Client, secret string, guess Guess) error {
	var id, hash string
	if c != nil {
		id, hash = c.ID, c.SecretHash
	}
	match, err := r.secrets.matches(ctx, id, hash, secret, guess)
	if err != nil {
		return err
	}
	if !match {
		return ErrAuthentication
	}
	return nil
}

// Read is Get without the cache, for operators: it returns disabled clients too.
func (r *Registry) Read(ctx context.Context, id string) (Client, error) {
	c, err := scan(r.db.QueryRow(ctx, `
		SELECT client_id, metadata, secret_hash, source, created_at, updated_at FROM clients WHERE client_id = $1`, id))
	if err != nil {
		return Client{}, fmt.Errorf("read client: %w", err)
	}
	return c, nil
}

// List returns clients in the order of their ids, those that follow after, at most limit,
// disabled ones included.
func (r *Registry) List(ctx context.Context, after string, limit int) ([]Client, error) {
	return r.query(ctx, `
		SELECT client_id, metadata, secret_hash, source, created_at, updated_at FROM clients
		WHERE client_id > $1 ORDER BY client_id LIMIT $2`, after, limit)
}

func (r *Registry) query(ctx context.Context, statement string, args ...any) (_ []Client, err error) {
	rows, err := r.db.Query(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	defer rows.Close()
	var list []Client
	for rows.Next() {
		c, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list clients: %w", err)
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	return list, nil
}

// scan reads one row of the columns client_id, metadata, secret_hash, source, created_at, updated_at.
func scan(row interface{ Scan(...any) error }) (Client, error) {
	var c Client
	var id, metadata, hash, source string
	var created, updated int64
	if err := row.Scan(&id, &metadata, &hash, &source, &created, &updated); err != nil {
		return Client{}, err
	}
	if err := json.Unmarshal([]byte(metadata), &c); err != nil {
		return Client{}, fmt.Errorf("metadata of client %s: %w", id, err)
	}
	c = c.withDefaults()
	c.ID, c.SecretHash, c.Source = id, hash, source
	c.CreatedAt, c.UpdatedAt = db.Time(created), db.Time(updated)
	return c, nil
}
