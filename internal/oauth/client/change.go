package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// ErrExists answers a Create whose client_id is taken.
var ErrExists = fault.New(http.StatusConflict, "client_exists", "a client with this client_id exists already")

// Topic is what every change touches, so that servers forget what they cached.
const Topic = "clients"

// Create validates, makes a secret for a confidential client that brought none, and returns it; it is
// never shown again. It returns "" for a public client and for one that brought its secret. Faults: the
// mistakes of Validate, ErrExists.
func (r *Registry) Create(ctx context.Context, c Client, secret, source string) (string, error) {
	if err := c.Validate(); err != nil {
		return "", err
	}
	c = c.withDefaults()
	if err := checkSecret(&c, secret); err != nil {
		return "", err
	}
	generated := ""
	if !c.Public() && secret == "" {
		generated = generateSecret()
		secret = generated
	}
	hash, err := r.hash(ctx, &c, secret)
	if err != nil {
		return "", err
	}
	err = r.change(ctx, func(ctx context.Context) error {
		now := db.Micros(time.Now())
		if err := r.refuseUserID(ctx, c.ID); err != nil {
			return err
		}
		n, err := r.db.Exec(ctx, `
			INSERT INTO clients (client_id, metadata, secret_hash, source, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (client_id) DO NOTHING`,
			c.ID, metadata(&c), hash, source, now)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrExists
		}
		return r.record(ctx, "client.created", c.ID, source)
	})
	if err != nil {
		return "", fmt.Errorf("create client: %w", err)
	}
	return generated, nil
}

// Update replaces a client's metadata and keeps its secret; a client that becomes public loses it,
// one that becomes confidential has none before RotateSecret. What the configuration says of a static
// client returns with the next start. db.ErrNotFound, and the mistakes of Validate.
func (r *Registry) Update(ctx context.Context, c Client) error {
	if err := c.Validate(); err != nil {
		return err
	}
	c = c.withDefaults()
	err := r.change(ctx, func(ctx context.Context) error {
		statement := `UPDATE clients SET metadata = $2, updated_at = $3 WHERE client_id = $1`
		if c.Public() {
			statement = `UPDATE clients SET metadata = $2, updated_at = $3, secret_hash = '' WHERE client_id = $1`
		}
		n, err := r.db.Exec(ctx, statement, c.ID, metadata(&c), db.Micros(time.Now()))
		if err != nil {
			return err
		}
		if n == 0 {
			return db.ErrNotFound
		}
		return r.record(ctx, "client.updated", c.ID, SourceOperator)
	})
	if err != nil {
		return fmt.Errorf("update client: %w", err)
	}
	return nil
}

// Delete removes a client and everything that people granted it. db.ErrNotFound.
func (r *Registry) Delete(ctx context.Context, id string) error {
	err := r.change(ctx, func(ctx context.Context) error {
		n, err := r.db.Exec(ctx, `DELETE FROM clients WHERE client_id = $1`, id) // consents follow by foreign key
		if err != nil {
			return err
		}
		if n == 0 {
			return db.ErrNotFound
		}
		// When a person was last there is known from their grants, too.
		if _, err := r.db.Exec(ctx, `
			UPDATE users SET seen_at = (SELECT MAX(rotated_at) FROM grants WHERE user_id = users.id)
			WHERE EXISTS (SELECT 1 FROM grants g WHERE g.client_id = $1 AND g.user_id = users.id AND g.rotated_at > users.seen_at)`, id); err != nil {
			return err
		}
		if _, err := r.db.Exec(ctx, `DELETE FROM grants WHERE client_id = $1`, id); err != nil {
			return err
		}
		return r.record(ctx, "client.deleted", id, SourceOperator)
	})
	if err != nil {
		return fmt.Errorf("delete client: %w", err)
	}
	return nil
}

// RotateSecret gives a confidential client a new secret and returns it; the old one is void at once.
// db.ErrNotFound, invalid_client_metadata for a public client.
func (r *Registry) RotateSecret(ctx context.Context, id string) (string, error) {
	c, err := r.Read(ctx, id)
	if err != nil {
		return "", err
	}
	if c.Public() {
		return "", errMetadata.Describe("a client with token_endpoint_auth_method none has no secret")
	}
	secret := generateSecret()
	err = r.change(ctx, func(ctx context.Context) error {
		n, err := r.db.Exec(ctx, `UPDATE clients SET secret_hash = $2, updated_at = $3 WHERE client_id = $1`,
			id, r.secrets.keyed(id, secret), db.Micros(time.Now()))
		if err != nil {
			return err
		}
		if n == 0 {
			return db.ErrNotFound
		}
		return r.record(ctx, "client.secret_rotated", id, SourceOperator)
	})
	if err != nil {
		return "", fmt.Errorf("rotate client secret: %w", err)
	}
	return secret, nil
}

// change runs fn in a transaction that tells every server to forget its clients.
func (r *Registry) change(ctx context.Context, fn func(ctx context.Context) error) error {
	err := r.db.Tx(ctx, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		return r.db.Touch(ctx, Topic)
	})
	if err == nil {
		r.Forget() // here at once, elsewhere within a second
	}
	return err
}

// refuseUserID keeps a client's id apart from every subject, since a token of the client
// credentials grant has the client_id as its sub (RFC 9700 section 4.15).
func (r *Registry) refuseUserID(ctx context.Context, id string) error {
	var one int
	err := r.db.QueryRow(ctx, `SELECT 1 FROM users WHERE id = $1`, id).Scan(&one)
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errMetadata.Describe("client_id is not available")
}

func (r *Registry) record(ctx context.Context, event, id, source string) error {
	actor := "operator"
	if source == SourceStatic {
		actor = "system"
	}
	return r.audit.Record(ctx, audit.Event{Name: event, Actor: actor, ClientID: id})
}

// hash is what is stored of a client's secret, "" for a public client.
func (r *Registry) hash(ctx context.Context, c *Client, secret string) (string, error) {
	if c.Public() {
		return "", nil
	}
	return r.secrets.hash(ctx, c.ID, secret)
}

// metadata is the canonical JSON of a client with its defaults filled in.
func metadata(c *Client) string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("a Client is always JSON: %v", err))
	}
	return string(b)
}
