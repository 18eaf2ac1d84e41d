package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
	"github.com/dialtone-id/dialtone/internal/oauth/notice"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// Holdings is what clients hold of people, for the account pages and for exports.
// It needs no Server, so that the operator's verbs have it as well.
type Holdings struct {
	db      *db.DB
	clients *client.Registry
	grants  *grant.Store
	audit   *audit.Log
	outbox  *notice.Outbox
}

var _ user.Clients = (*Holdings)(nil)

// NewHoldings reads and writes nothing.
func NewHoldings(d *db.DB, v *signing.Vault, clients *client.Registry, grants *grant.Store, a *audit.Log) *Holdings {
	return &Holdings{db: d, clients: clients, grants: grants, audit: a, outbox: notice.NewOutbox(d, v, clients)}
}

// Client describes one as pages show it, a disabled one too; nil if there is none.
func (h *Holdings) Client(ctx context.Context, id string) (*web.Client, error) {
	c, err := h.clients.Get(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		var disabled client.Client
		disabled, err = h.clients.Read(ctx, id)
		c = &disabled
	}
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil //nolint:nilnil // as user.Clients wants it
	}
	if err != nil {
		return nil, err
	}
	return clientView(c), nil
}

// Held returns what a person allowed, and what was granted on it.
func (h *Holdings) Held(ctx context.Context, userID string) (user.Held, error) {
	consents, err := h.consents(ctx, userID)
	if err != nil {
		return user.Held{}, err
	}
	grants, err := h.grants.ListUser(ctx, userID)
	if err != nil {
		return user.Held{}, err
	}
	held, now := user.Held{Consents: consents}, time.Now()
	for _, g := range grants {
		held.Grants = append(held.Grants, user.Grant{
			ClientID: g.ClientID, SessionID: g.SessionID, Scopes: g.Scope, CreatedAt: g.CreatedAt, UsedAt: g.RotatedAt,
			ExpiresAt: g.ExpiresAt, EndedAt: g.RevokedAt, Live: g.Stands(now),
		})
	}
	return held, nil
}

func (h *Holdings) consents(ctx context.Context, userID string) ([]user.Consent, error) {
	rows, err := h.db.Query(ctx, `
		SELECT client_id, scope, granted_at, changed_at FROM consents WHERE user_id = $1 ORDER BY client_id`, userID)
	if err != nil {
		return nil, fmt.Errorf("list consents: %w", err)
	}
	defer rows.Close()
	var list []user.Consent
	for rows.Next() {
		var c user.Consent
		var scope string
		var granted, changed int64
		if err := rows.Scan(&c.ClientID, &scope, &granted, &changed); err != nil {
			return nil, fmt.Errorf("list consents: %w", err)
		}
		c.Scopes, c.GrantedAt, c.ChangedAt = strings.Fields(scope), db.Time(granted), db.Time(changed)
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list consents: %w", err)
	}
	return list, nil
}

// Withdraw forgets the consent and ends the grants in one transaction, with one
// record of what the person did.
func (h *Holdings) Withdraw(ctx context.Context, userID, clientID string) (found bool, err error) {
	err = h.db.Tx(ctx, func(ctx context.Context) error {
		consents, err := h.db.Exec(ctx, `DELETE FROM consents WHERE user_id = $1 AND client_id = $2`, userID, clientID)
		if err != nil {
			return fmt.Errorf("withdraw consent: %w", err)
		}
		grants, err := h.grants.RevokeUserClient(ctx, userID, clientID)
		if err != nil {
			return err
		}
		if found = consents+grants > 0; !found {
			return nil
		}
		return h.audit.Record(ctx, audit.Event{
			Name: "consent.revoked", Actor: "user:" + userID, UserID: userID, ClientID: clientID, IP: address(ctx),
		})
	})
	return found, err
}

// EndSession ends what was granted in a browser session, offline access included.
func (h *Holdings) EndSession(ctx context.Context, userID, sessionID string) error {
	_, err := h.grants.EndSession(ctx, userID, sessionID)
	return err
}

// EndOthers ends what was granted outside of what the person keeps.
func (h *Holdings) EndOthers(ctx context.Context, userID string, keep user.Kept) error {
	_, err := h.grants.EndOthers(ctx, userID, keep.Session, keep.Grant)
	return err
}

// Erasing has the clients that know a person told, see package notice.
func (h *Holdings) Erasing(ctx context.Context, userID string) error {
	return h.outbox.AccountPurged(ctx, userID)
}
