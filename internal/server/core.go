package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/user"
)

// Core is everything that works on the database alone. A server is built on one;
// the operator's verbs use one beside a running server.
type Core struct {
	DB      *db.DB
	Vault   *signing.Vault
	Audit   *audit.Log
	Ring    *signing.Ring
	Clients *client.Registry
	Grants  *grant.Store
	Users   *user.Service
}

// OpenCore opens the database, brings SQLite to the current schema (PostgreSQL
// waits for `dialtone migrate up`), and opens the vault and the key ring.
func OpenCore(ctx context.Context, c config.Config, log *slog.Logger) (_ *Core, err error) {
	d, err := db.Open(ctx, c.DatabaseURL())
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.Engine() == db.SQLite {
		if err := d.Migrate(ctx); err != nil {
			return nil, fmt.Errorf("migrate the database: %w", err)
		}
	} else if err := d.CheckSchema(ctx); err != nil {
		return nil, err
	}
	secrets, err := masters(c)
	if err != nil {
		return nil, err
	}
	vault, err := signing.OpenVault(ctx, d, secrets)
	if err != nil {
		return nil, fmt.Errorf("open the vault: %w", err)
	}
	trail := audit.New(d)
	ring, err := signing.OpenRing(ctx, d, vault, trail, signing.Policy{
		Every: c.Keys.RotateEvery, Publish: c.Keys.Publish, Keep: c.Keys.Keep,
		Remember: max(c.Keys.Keep, c.Sessions.Absolute+24*time.Hour),
	})
	if err != nil {
		return nil, fmt.Errorf("open the key ring: %w", err)
	}
	clients, grants := client.NewRegistry(d, vault, trail), grant.NewStore(d, trail)
	return &Core{
		DB: d, Vault: vault, Audit: trail, Ring: ring, Clients: clients, Grants: grants,
		Users: user.New(d, vault, trail, user.Issuer(c.Issuer), user.PlainHTTP(!secure(c.Issuer)),
			user.Lifetimes(c.Sessions.Idle, c.Sessions.Absolute), user.Regions(c.SMS.Regions),
			user.Accounts(c.Accounts.DeletionDelay, c.Accounts.RecycleAfter, c.Accounts.Quarantine),
			user.HeldBy(oauth.NewHoldings(d, vault, clients, grants, trail))),
	}, nil
}

// masters are the configured master secrets; a developer who brought none gets one
// that is made once and kept in the data directory.
func masters(c config.Config) ([][]byte, error) {
	if list := c.Masters(); len(list) > 0 || !c.Dev {
		return list, nil
	}
	made, err := signing.DevMaster(c.DataDir)
	if err != nil {
		return nil, fmt.Errorf("master secret of --dev: %w", err)
	}
	return [][]byte{made}, nil
}

// Close lets go of the database.
func (c *Core) Close() error { return c.DB.Close() }
