package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/signing"
)

const (
	lookEvery  = 5 * time.Second
	batch      = 8                  // delivered at once
	perClient  = 2                  // of these
	firstPause = 30 * time.Second   // after a failure; more than a delivery takes
	longest    = 6 * time.Hour      // between two tries
	giveUp     = 7 * 24 * time.Hour // after the event
	tokenType  = "secevent+jwt"     //nolint:gosec // a media type, RFC 8417 section 2.3
	mediaType  = "application/secevent+jwt"
	purgedURI  = "https://schemas.openid.net/secevent/risc/event-type/account-purged"
)

// Courier delivers what is in the outbox. Every server may run one.
type Courier struct {
	Outbox *Outbox
	Ring   *signing.Ring
	Issuer string
	HTTP   *http.Client // outbound.New's
	Log    *slog.Logger
}

// Run delivers until ctx ends.
func (c *Courier) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery/2 + rand.N(lookEvery)): //nolint:gosec // spreads load, guards nothing
		}
		if _, err := c.Deliver(ctx, time.Now()); err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "deliver notices to clients", "error", err)
		}
	}
}

// item is a row that is due.
type item struct {
	id, clientID, event   string
	sealed                []byte
	createdAt, due, tries int64
}

// outcome is what became of a row that was taken.
type outcome struct {
	clientID string
	arrived  bool
	err      error
}

// Deliver tells what is due from now on, and returns how many notices arrived. No
// client has more than perClient under way, so that one which hangs delays its own.
func (c *Courier) Deliver(ctx context.Context, now time.Time) (arrived int, err error) {
	begun := time.Now()
	clock := func() time.Time { return now.Add(time.Since(begun)) }
	var errs []error
	done, under, underOf := make(chan outcome), 0, map[string]int{}
	for {
		due, err := c.due(ctx, clock())
		errs = append(errs, err)
		for _, n := range due {
			if under == batch || underOf[n.clientID] == perClient || errors.Join(errs...) != nil {
				continue
			}
			at := clock()
			took, err := c.take(ctx, n, at)
			errs = append(errs, err)
			if !took {
				continue
			}
			under++
			underOf[n.clientID]++
			go func() {
				arrived, err := c.tell(ctx, n, at)
				done <- outcome{n.clientID, arrived, err}
			}()
		}
		failed := errors.Join(errs...)
		if under == 0 && (len(due) == 0 || failed != nil) {
			return arrived, failed
		}
		if under == 0 {
			continue // other servers took them
		}
		o := <-done
		under--
		underOf[o.clientID]--
		errs = append(errs, o.err)
		if o.arrived {
			arrived++
		}
	}
}

// due are the first rows of each client, more than are under way at once.
func (c *Courier) due(ctx context.Context, now time.Time) ([]item, error) {
	rows, err := c.Outbox.db.Query(db.Unasked(ctx), `
		SELECT id, client_id, event, sealed, created_at, due_at, tries FROM (
			SELECT id, client_id, event, sealed, created_at, due_at, tries,
				ROW_NUMBER() OVER (PARTITION BY client_id ORDER BY due_at, id) AS place
			FROM outbox WHERE due_at <= $1) AS waiting
		WHERE place <= $2 ORDER BY due_at, id LIMIT $3`,
		db.Micros(now), perClient, 2*batch)
	if err != nil {
		return nil, fmt.Errorf("look into the outbox: %w", err)
	}
	defer rows.Close()
	var list []item
	for rows.Next() {
		var n item
		if err := rows.Scan(&n.id, &n.clientID, &n.event, &n.sealed, &n.createdAt, &n.due, &n.tries); err != nil {
			return nil, fmt.Errorf("look into the outbox: %w", err)
		}
		list = append(list, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look into the outbox: %w", err)
	}
	return list, nil
}

// take takes a row, which one server does, for longer than a delivery lasts.
func (c *Courier) take(ctx context.Context, n item, now time.Time) (bool, error) {
	took, err := c.Outbox.db.Exec(ctx, `UPDATE outbox SET due_at = $1, tries = tries + 1 WHERE id = $2 AND due_at = $3`,
		db.Micros(now.Add(pause(n.tries))), n.id, n.due)
	if err != nil {
		return false, fmt.Errorf("take a notice: %w", err)
	}
	return took == 1, nil
}

var errDisabled = errors.New("the client is disabled")

// tell delivers a row that was taken. What cannot be delivered stays for later; what
// never will is dropped.
func (c *Courier) tell(ctx context.Context, n item, now time.Time) (arrived bool, err error) {
	to, err := c.Outbox.clients.Read(db.Unasked(ctx), n.clientID)
	gone := errors.Is(err, db.ErrNotFound) || err == nil && to.SecurityEventURI == ""
	if err != nil && !gone {
		return false, err
	}
	if !gone {
		err = errDisabled
		if !to.Disabled {
			err = c.push(ctx, n, to.SecurityEventURI, signing.Algorithm(to.IDTokenSignedResponseAlg))
		}
		late := now.Sub(db.Time(n.createdAt)) > giveUp
		if err != nil {
			c.Log.WarnContext(ctx, "a client could not be told of an erasure", "client_id", n.clientID, "jti", n.id, "tries", n.tries+1, "given_up", late, "error", err)
			if !late {
				return false, nil
			}
		}
		arrived = err == nil
	}
	// The client was told, whether or not this server is asked to stop meanwhile.
	if _, err := c.Outbox.db.Exec(context.WithoutCancel(ctx), `DELETE FROM outbox WHERE id = $1`, n.id); err != nil {
		return arrived, fmt.Errorf("finish a notice: %w", err)
	}
	return arrived, nil
}

// pause doubles with every try.
func pause(tries int64) time.Duration {
	return min(longest, firstPause<<min(tries, 16))
}

// token is the claims of RFC 8417 section 2.2 with the subject of RFC 9493 section
// 3.2.3. It has no exp and no sub, lest it be taken for another kind of token.
type token struct {
	Issuer   string         `json:"iss"`
	Audience string         `json:"aud"`
	IssuedAt int64          `json:"iat"`
	ID       string         `json:"jti"`
	Subject  subject        `json:"sub_id"`
	Events   map[string]any `json:"events"`
}

type subject struct {
	Format  string `json:"format"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// push is RFC 8935 section 2.1. Anything but a success leaves the notice undelivered.
func (c *Courier) push(ctx context.Context, n item, to string, alg signing.Algorithm) error {
	userID, err := c.Outbox.vault.Open(labelSubject, n.sealed, []byte(n.id))
	if err != nil {
		return fmt.Errorf("open the subject: %w", err)
	}
	claims, err := json.Marshal(token{
		Issuer: c.Issuer, Audience: n.clientID, IssuedAt: db.Time(n.createdAt).Unix(), ID: n.id,
		Subject: subject{"iss_sub", c.Issuer, string(userID)}, Events: map[string]any{purgedURI: struct{}{}},
	})
	if err != nil {
		return fmt.Errorf("encode a notice: %w", err)
	}
	signed, err := c.Ring.Sign(alg, tokenType, claims)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(signed))
	if err != nil {
		return fmt.Errorf("ask the receiver: %w", err)
	}
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Accept", "application/json")
	res, err := c.HTTP.Do(r)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the address, whose query may be a secret
		}
		return fmt.Errorf("ask the receiver: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the receiver answers %d", res.StatusCode)
	}
	return nil
}
