package user

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/web"
)

// activityAge is how far back people are shown what happened in their account.
const activityAge = 90 * 24 * time.Hour

var errCursor = errors.New("not a place in the record")

// Activity returns up to limit events of a person's last 90 days, newest first,
// and what continues after them, "" if nothing does. before is what continued
// the part before, "" for the newest; anything else reads as the end.
func (s *Service) Activity(ctx context.Context, userID, before string, limit int) (events []audit.Entry, next string, err error) {
	var at audit.Entry
	if before != "" {
		if at, err = parseCursor(before); err != nil {
			return nil, "", nil //nolint:nilerr // nothing is there
		}
	}
	oldest := time.Now().Add(-activityAge)
	for {
		batch, err := s.audit.List(ctx, userID, at, limit+1)
		if err != nil {
			return nil, "", err
		}
		for _, e := range batch {
			at = e
			if e.At.Before(oldest) {
				return events, "", nil
			}
			if !tellsItself(e) {
				continue
			}
			if len(events) == limit {
				return events, cursorOf(events[limit-1]), nil
			}
			events = append(events, e)
		}
		if len(batch) <= limit {
			return events, "", nil
		}
	}
}

// tellsItself is false of what another event stands for: ending grants goes with
// signing a device out or withdrawing access.
func tellsItself(e audit.Entry) bool {
	reason := e.Detail["reason"]
	return e.Name != "grant.revoked" || reason != "person" && reason != "session_ended"
}

func cursorOf(e audit.Entry) string { return strconv.FormatInt(db.Micros(e.At), 10) + "." + e.ID }

func parseCursor(text string) (audit.Entry, error) {
	at, id, ok := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || uuid.Validate(id) != nil {
		return audit.Entry{}, errCursor
	}
	return audit.Entry{ID: id, At: db.Time(micros)}, nil
}

// activityLines are events as the page shows them, with the device of the
// session that they name, if it is still known.
func (s *Service) activityLines(ctx context.Context, userID string, events []audit.Entry) ([]web.ActivityEvent, error) {
	sessions, err := s.ListSessions(ctx, userID)
	if err != nil {
		return nil, err
	}
	agents := make(map[string]string, len(sessions))
	for _, x := range sessions {
		agents[x.ID] = x.UserAgent
	}
	lines := make([]web.ActivityEvent, len(events))
	for i, e := range events {
		name, err := s.clientName(ctx, e.ClientID)
		if err != nil {
			return nil, fmt.Errorf("name a client: %w", err)
		}
		lines[i] = web.ActivityEvent{
			Name: e.Name, At: e.At, App: name, Operator: e.Actor == operator, Device: deviceOf(agents[e.Detail["session"]]),
		}
		if a, err := netip.ParseAddr(e.IP); err == nil {
			lines[i].Place = prefixOf(a)
		}
	}
	return lines, nil
}
