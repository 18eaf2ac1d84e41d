package user

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/web"
)

// Clients is the authorization server as accounts see it: which clients a person
// let in, what those hold, and how to end that. Its changes join the transaction
// in ctx and are recorded by it.
type Clients interface {
	// Client describes one; nil if there is none of that id.
	Client(ctx context.Context, id string) (*web.Client, error)
	// Held returns what a person allowed, and what was granted to clients, dead
	// grants included for as long as they are kept.
	Held(ctx context.Context, userID string) (Held, error)
	// Withdraw forgets what a person allowed a client and ends all that the client
	// was granted; false if there was neither.
	Withdraw(ctx context.Context, userID, clientID string) (bool, error)
	// EndSession ends all that was granted in a browser session, offline access included.
	EndSession(ctx context.Context, userID, sessionID string) error
	// EndOthers ends all that a person granted outside of what they keep.
	EndOthers(ctx context.Context, userID string, keep Kept) error
	// Erasing has clients told that an account is erased. What they hold is still there.
	Erasing(ctx context.Context, userID string) error
}

// Kept is where a person goes on while everything else ends: a browser session, or
// what they granted to a native app, which has none.
type Kept struct{ Session, Grant string }

// Held is what clients hold of one person.
type Held struct {
	Consents []Consent `json:"consents"`
	Grants   []Grant   `json:"grants"`
}

// Consent is what a person allowed a client when they were asked.
type Consent struct {
	ClientID  string    `json:"client_id"`
	Scopes    []string  `json:"scopes"`
	GrantedAt time.Time `json:"granted_at"` // first
	ChangedAt time.Time `json:"changed_at"` // last
}

// Grant is what a client was granted at one sign-in.
type Grant struct {
	ClientID  string    `json:"client_id"`
	SessionID string    `json:"sid,omitempty"` // of the browser; "" for native apps
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	UsedAt    time.Time `json:"used_at"` // when tokens were issued last
	ExpiresAt time.Time `json:"expires_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Live      bool      `json:"live"` // its tokens are good
}

// noClients is a house without an authorization server.
type noClients struct{}

func (noClients) Client(context.Context, string) (*web.Client, error)    { return nil, nil } //nolint:nilnil // as documented
func (noClients) Held(context.Context, string) (Held, error)             { return Held{}, nil }
func (noClients) Withdraw(context.Context, string, string) (bool, error) { return false, nil }
func (noClients) EndSession(context.Context, string, string) error       { return nil }
func (noClients) Erasing(context.Context, string) error                  { return nil }
func (noClients) EndOthers(context.Context, string, Kept) error          { return nil }

// Apps returns the clients that a person allowed something or that hold a grant
// which is good, the last used first.
func (s *Service) Apps(ctx context.Context, userID string) ([]web.ConnectedApp, error) {
	held, err := s.clients.Held(ctx, userID)
	if err != nil {
		return nil, err
	}
	apps := map[string]*web.ConnectedApp{}
	app := func(id string) *web.ConnectedApp {
		if apps[id] == nil {
			apps[id] = &web.ConnectedApp{Client: web.Client{ID: id}}
		}
		return apps[id]
	}
	for _, c := range held.Consents {
		a := app(c.ClientID)
		a.Consent, a.Scopes, a.Since = true, c.Scopes, c.GrantedAt
	}
	for _, g := range held.Grants {
		if !g.Live {
			continue
		}
		a := app(g.ClientID)
		for _, scope := range g.Scopes {
			if !slices.Contains(a.Scopes, scope) {
				a.Scopes = append(a.Scopes, scope)
			}
		}
		if a.Since.IsZero() || g.CreatedAt.Before(a.Since) {
			a.Since = g.CreatedAt
		}
	}
	for _, g := range held.Grants { // a dead one tells of a use, too
		if a := apps[g.ClientID]; a != nil && g.UsedAt.After(a.Used) {
			a.Used = g.UsedAt
		}
	}
	list := make([]web.ConnectedApp, 0, len(apps))
	for id, a := range apps {
		c, err := s.clients.Client(ctx, id)
		if err != nil {
			return nil, err
		}
		if c != nil {
			a.Client = *c
		}
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b web.ConnectedApp) int {
		return cmp.Or(b.Used.Compare(a.Used), b.Since.Compare(a.Since), cmp.Compare(a.Client.ID, b.Client.ID))
	})
	return list, nil
}

// Withdraw takes back what a person allowed a client and ends what it holds;
// db.ErrNotFound if that is nothing.
func (s *Service) Withdraw(ctx context.Context, userID, clientID string) error {
	found, err := s.clients.Withdraw(ctx, userID, clientID)
	if err == nil && !found {
		return fmt.Errorf("withdraw access: %w", db.ErrNotFound)
	}
	return err
}

// clientName is what a client is called, "" for none.
func (s *Service) clientName(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	c, err := s.clients.Client(ctx, id)
	if err != nil || c == nil {
		return id, err
	}
	return cmp.Or(c.Name, c.ID), nil
}

// LiveSessions returns the browsers that a person is signed in with, the last
// used first.
func (s *Service) LiveSessions(ctx context.Context, userID string) ([]Session, error) {
	all, err := s.ListSessions(ctx, userID)
	if err != nil {
		return nil, err
	}
	idle := time.Now().Add(-s.sessionIdle)
	live := slices.DeleteFunc(all, func(x Session) bool { return !x.EndedAt.IsZero() || !x.SeenAt.After(idle) })
	slices.SortStableFunc(live, func(a, b Session) int { return b.SeenAt.Compare(a.SeenAt) })
	return live, nil
}

// SignOutSession ends one browser session of a person, and with it everything
// that clients were granted there, offline access included: whoever holds that
// browser holds nothing any more. Ending it again is no error; a session that is
// not the person's is db.ErrNotFound.
func (s *Service) SignOutSession(ctx context.Context, userID, id string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		var one int
		if err := s.db.QueryRow(ctx, `SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2`, id, userID).Scan(&one); err != nil {
			return fmt.Errorf("find session: %w", err)
		}
		if _, err := s.endSession(ctx, id, "user:"+userID); err != nil {
			return err
		}
		return s.clients.EndSession(ctx, userID, id)
	})
}

// SignOutOthers ends every browser session of a person but the one they keep, and
// everything that clients were granted outside of that one, by native apps too.
func (s *Service) SignOutOthers(ctx context.Context, userID string, keep Kept) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.holdSessions(ctx, userID); err != nil {
			return err
		}
		n, err := s.db.Exec(ctx, `UPDATE sessions SET ended_at = $1 WHERE user_id = $2 AND id <> $3 AND ended_at IS NULL`,
			db.Micros(time.Now()), userID, keep.Session)
		if err != nil {
			return fmt.Errorf("end other sessions: %w", err)
		}
		if err := s.clients.EndOthers(ctx, userID, keep); err != nil || n == 0 {
			return err
		}
		return s.record(ctx, "session.ended", "user:"+userID, userID, map[string]string{"count": fmt.Sprint(n)})
	})
}
