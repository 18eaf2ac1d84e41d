package engine

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// A refresh token names its grant and a generation of it, "rt.<grant>.<generation>.<MAC>". The
// MAC also covers the salt of the grant's row, so that the keys without the database forge
// nothing. It is made anew from the row whenever it is needed; none is ever stored.
const (
	refreshPrefix = "rt."
	refreshLabel  = "refresh"
	// maxRefresh is somewhat more than the longest there can be: 3 + 36 + 1 + 19 + 1 + 48.
	maxRefresh = 128
)

// refreshToken is a token taken apart. That it could be says nothing about whether it is ours.
type refreshToken struct {
	grantID    string
	generation int64
	mac        []byte
}

// parseRefreshToken accepts only what formatRefreshToken makes, character for character, so
// that no two strings are one token.
func parseRefreshToken(raw string) (refreshToken, bool) {
	rest, ours := strings.CutPrefix(raw, refreshPrefix)
	id, rest, _ := strings.Cut(rest, ".")
	number, encoded, whole := strings.Cut(rest, ".")
	if !ours || !whole || len(raw) > maxRefresh {
		return refreshToken{}, false
	}
	generation, err := strconv.ParseInt(number, 10, 64)
	if err != nil || generation < 1 || strconv.FormatInt(generation, 10) != number {
		return refreshToken{}, false
	}
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return refreshToken{}, false
	}
	mac, err := decodeStrictly(encoded)
	if err != nil {
		return refreshToken{}, false
	}
	return refreshToken{grantID: id, generation: generation, mac: mac}, true
}

func (t refreshToken) String() string {
	return refreshPrefix + t.grantID + "." + strconv.FormatInt(t.generation, 10) + "." + base64.RawURLEncoding.EncodeToString(t.mac)
}

// formatRefreshToken makes the refresh token of one generation of a grant; the same one each
// time, until the master secret changes, and then one as good.
func (e *Engine) formatRefreshToken(g *grant.Grant, generation int64) string {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(generation))
	return refreshToken{g.ID, generation, e.vault.MAC(refreshLabel, []byte(g.ID), number[:], g.Salt)}.String()
}

// findRefreshToken reads the grant of a refresh token and says which generation the token is.
// db.ErrNotFound for whatever is not ours.
func (e *Engine) findRefreshToken(ctx context.Context, raw string) (grant.Live, int64, error) {
	t, ok := parseRefreshToken(raw)
	if !ok {
		return grant.Live{}, 0, fmt.Errorf("not a refresh token: %w", db.ErrNotFound)
	}
	live, err := e.grants.Find(ctx, t.grantID)
	if err != nil {
		return grant.Live{}, 0, err
	}
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(t.generation))
	if !e.vault.VerifyMAC(refreshLabel, t.mac, []byte(live.ID), number[:], live.Salt) {
		return grant.Live{}, 0, fmt.Errorf("forged refresh token: %w", db.ErrNotFound)
	}
	return live, t.generation, nil
}

// age is what a refresh token is to its grant.
type age int

const (
	unissued    age = iota // later than the newest: the database was set back
	newest                 // to be used once
	predecessor            // of the newest, within the grace: a lost answer or two tabs
	reused                 // older, or too late: somebody has a copy
)

func (e *Engine) ageOf(g *grant.Grant, generation int64, now time.Time) age {
	switch {
	case generation > g.Generation:
		return unissued
	case generation == g.Generation:
		return newest
	case generation == g.Generation-1 && e.inGrace(g.RotatedAt, now):
		return predecessor
	}
	return reused
}

// inGrace counts a rotation that is later than now, as requests that overlap and servers whose
// clocks differ see it, as just done. Without a grace nothing is in it, not even that.
func (e *Engine) inGrace(rotated, now time.Time) bool {
	return e.config.RefreshGrace > 0 && now.Before(rotated.Add(e.config.RefreshGrace))
}

// idleSteps is into how many steps the idle lifetime is divided, see expiry.
const idleSteps = 30

// expiry is when a grant ends that is used now: after the idle lifetime, never after the
// absolute one. It is rounded up to a thirtieth of the idle lifetime, a day by default, so
// that most rotations leave the indexed column as it is, which spares PostgreSQL the index.
func (e *Engine) expiry(created, now time.Time) time.Time {
	step := max(e.config.RefreshIdle/idleSteps, time.Second)
	end := now.Add(e.config.RefreshIdle)
	if rounded := end.Truncate(step); rounded.Before(end) {
		end = rounded.Add(step)
	}
	if last := created.Add(e.config.RefreshAbsolute); end.After(last) {
		return last
	}
	return end
}

// revoke ends a grant although the request that found the reason fails.
func (e *Engine) revoke(ctx context.Context, grantID, reason string) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	return e.grants.Revoke(ctx, grantID, reason)
}
