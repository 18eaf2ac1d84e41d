package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Static is a client of the configuration with its secret in clear.
type Static struct {
	Client
	Secret string `json:"client_secret,omitempty"`
}

// Validate says what is wrong with a client of the configuration. A confidential one must
// bring its secret, since there is nobody to show a generated one to.
func (s *Static) Validate() error {
	if err := s.Client.Validate(); err != nil {
		return err
	}
	full := s.withDefaults()
	if !full.Public() && s.Secret == "" {
		return errMetadata.Describe("client_secret must be present unless token_endpoint_auth_method is none")
	}
	return checkSecret(&full, s.Secret)
}

// Sync creates or updates the configuration's clients at start, by client_id; nothing is written
// where nothing changed. The configuration is the truth of its clients: it takes over a client that
// an operator made under the same id, and undoes what an operator changed. A static client that is
// no longer in it is disabled, not deleted, so that it returns with its grants if its line does.
//
// Mistakes name the entry: "clients[2] (shop): ...". Two servers that start at once write the same.
func (r *Registry) Sync(ctx context.Context, static []Static) error {
	seen := make(map[string]bool, len(static))
	for i := range static {
		id := static[i].ID
		if err := static[i].Validate(); err != nil {
			return fmt.Errorf("clients[%d] (%s): %w", i, id, err)
		}
		if seen[id] {
			return fmt.Errorf("clients[%d] (%s): client_id is there twice", i, id)
		}
		seen[id] = true
	}
	changes, err := r.differences(ctx, static, seen)
	if err != nil {
		return fmt.Errorf("compare clients with the configuration: %w", err)
	}
	if len(changes) == 0 {
		return nil
	}
	err = r.change(ctx, func(ctx context.Context) error {
		for _, c := range changes {
			if err := r.apply(ctx, c); err != nil {
				return fmt.Errorf("client %s: %w", c.client.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("bring clients to the configuration: %w", err)
	}
	return nil
}

// change is one row to write and the event that tells of it.
type change struct {
	event  string
	client Client
	hash   string
}

// differences reads and hashes before the transaction, which must be short.
func (r *Registry) differences(ctx context.Context, static []Static, configured map[string]bool) ([]change, error) {
	var changes []change
	for i := range static {
		c, changed, err := r.difference(ctx, &static[i])
		if err != nil {
			return nil, err
		}
		if changed {
			changes = append(changes, c)
		}
	}
	present, err := r.query(ctx, `
		SELECT client_id, metadata, secret_hash, source, created_at, updated_at FROM clients WHERE source = $1`, SourceStatic)
	if err != nil {
		return nil, err
	}
	for _, c := range present {
		if !configured[c.ID] && !c.Disabled {
			c.Disabled = true
			changes = append(changes, change{event: "client.updated", client: c, hash: c.SecretHash})
		}
	}
	return changes, nil
}

func (r *Registry) difference(ctx context.Context, s *Static) (_ change, changed bool, err error) {
	want := change{event: "client.updated", client: s.withDefaults()}
	stored, err := r.Read(ctx, s.ID)
	switch {
	case errors.Is(err, db.ErrNotFound):
		want.event = "client.created"
	case err != nil:
		return change{}, false, err
	default:
		want.hash = stored.SecretHash
	}
	keep, err := r.keepsSecret(ctx, &want, s.Secret)
	if err != nil {
		return change{}, false, err
	}
	if keep && want.event == "client.updated" && stored.Source == SourceStatic && metadata(&stored) == metadata(&want.client) {
		return change{}, false, nil
	}
	if !keep {
		if want.hash, err = r.hash(ctx, &want.client, s.Secret); err != nil {
			return change{}, false, err
		}
	}
	return want, true, nil
}

// keepsSecret says whether the stored hash is already that of the configured secret.
func (r *Registry) keepsSecret(ctx context.Context, c *change, secret string) (bool, error) {
	if c.client.Public() {
		return c.hash == "", nil
	}
	return r.secrets.matches(ctx, c.client.ID, c.hash, secret, nil)
}

func (r *Registry) apply(ctx context.Context, c change) error {
	if c.event == "client.created" {
		if err := r.refuseUserID(ctx, c.client.ID); err != nil {
			return err
		}
	}
	_, err := r.db.Exec(ctx, `
		INSERT INTO clients (client_id, metadata, secret_hash, source, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $5)
		ON CONFLICT (client_id) DO UPDATE SET metadata = excluded.metadata, secret_hash = excluded.secret_hash,
			source = excluded.source, updated_at = excluded.updated_at`,
		c.client.ID, metadata(&c.client), c.hash, SourceStatic, db.Micros(time.Now()))
	if err != nil {
		return err
	}
	return r.record(ctx, c.event, c.client.ID, SourceStatic)
}
