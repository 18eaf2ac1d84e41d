// Package notice tells clients what happened to people that they know: today that
// an account was erased, as a Security Event Token (RFC 8417) of the type
// account-purged (OpenID RISC), pushed to the client's receiver (RFC 8935).
//
//	erasing transaction ──► outbox row for each client ──► Courier ──► security_event_uri
//	                                                          │ 202: the row goes
//	                                                          └ else: later, for a week
//
// A row is written in the transaction of what it tells, so nothing is told that
// did not happen and nothing is forgotten. A server takes a row by moving its
// time on, which one server can do; one that dies while it delivers leaves the row
// to be taken again. So a client is told at least once, each time under the same
// jti. The subject is sealed in the row and gone with it.
package notice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/signing"
)

const (
	eventPurged  = "account-purged"
	labelSubject = "outbox"
)

// Outbox is the table.
type Outbox struct {
	db      *db.DB
	vault   *signing.Vault
	clients *client.Registry
}

// NewOutbox reads and writes nothing.
func NewOutbox(d *db.DB, v *signing.Vault, clients *client.Registry) *Outbox {
	return &Outbox{db: d, vault: v, clients: clients}
}

// AccountPurged has every client that knows a person told that their account is
// erased, if it registered a receiver. It joins the transaction in ctx, and comes
// before the rows go that say which clients those are.
func (o *Outbox) AccountPurged(ctx context.Context, userID string) error {
	known, err := o.clientsOf(ctx, userID)
	if err != nil {
		return err
	}
	now := db.Micros(time.Now())
	for _, id := range known {
		c, err := o.clients.Read(ctx, id) // a disabled one may be enabled again
		if errors.Is(err, db.ErrNotFound) || err == nil && c.SecurityEventURI == "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("tell client %s: %w", id, err)
		}
		jti := db.NewID()
		if err := o.db.ExecLater(ctx, `
			INSERT INTO outbox (id, client_id, event, sealed, created_at, due_at, tries) VALUES ($1, $2, $3, $4, $5, $5, 0)`,
			jti, id, eventPurged, o.vault.Seal(labelSubject, []byte(userID), []byte(jti)), now); err != nil {
			return fmt.Errorf("tell client %s: %w", id, err)
		}
	}
	return nil
}

// clientsOf are those that a person allowed something, that were granted anything,
// or through which they registered, signed in or agreed to terms, or that they
// allowed something once: of accounts that waited for half a year the first two may
// be gone.
func (o *Outbox) clientsOf(ctx context.Context, userID string) ([]string, error) {
	rows, err := o.db.Query(ctx, `
		SELECT client_id FROM consents WHERE user_id = $1
		UNION SELECT client_id FROM grants WHERE user_id = $1
		UNION SELECT client_id FROM agreements WHERE user_id = $1 AND client_id <> ''
		UNION SELECT client_id FROM audit WHERE user_id = $1 AND client_id <> ''
			AND event IN ('user.created', 'login.succeeded', 'consent.granted', 'consent.revoked')
		ORDER BY 1`, userID)
	if err != nil {
		return nil, fmt.Errorf("list the clients that know a person: %w", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list the clients that know a person: %w", err)
		}
		list = append(list, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the clients that know a person: %w", err)
	}
	return list, nil
}
