package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/user/password"
)

// Results of an imported row.
const (
	RowCreated = "created"
	RowPresent = "present" // the number has an account, or was taken from one that waits; nothing changes
	RowRefused = "refused"
)

// Outcome is what became of one row.
type Outcome struct {
	Line   int
	Result string
	Number sms.Number // zero if there was none to be read; it prints masked
	Reason string     // of a refusal, without any of the row's values
}

// ImportBatch is how many rows Import had better be given at once: SQLite's one
// writer is held for a tenth of a second.
const ImportBatch = 500

// Import makes accounts of rows in one transaction: all of them are durable when
// it returns, or none is. A number that has an account is left alone, so the same
// file can be imported again, and goes on where it was broken off. So is one that
// an account lost to somebody else, lest its password comes back with it.
//
// Where somebody registers one of the numbers meanwhile, rows go one by one. Beside
// an error come the outcomes of those that are durable, the first ones.
//
// An imported number is not verified until its owner signs in by SMS; it can
// be signed in with by password. The operator vouches for it as of now, however old
// the account is: it is not idle. An e-mail address is verified if the row says so.
func (s *Service) Import(ctx context.Context, rows []Row) ([]Outcome, error) {
	outcomes, err := s.importAll(ctx, rows)
	switch {
	case err == nil:
		return outcomes, nil
	case !errors.Is(err, db.ErrConflict):
		return nil, err
	}
	// Somebody registered one of these between two statements. By itself a row is
	// asked about again, and then is present or refused.
	outcomes = outcomes[:0]
	for i := range rows {
		for try := 1; ; try++ {
			one, err := s.importAll(ctx, rows[i:i+1])
			if errors.Is(err, db.ErrConflict) && try < 3 {
				continue
			}
			if err != nil {
				return outcomes, err
			}
			outcomes = append(outcomes, one...)
			break
		}
	}
	return outcomes, nil
}

func (s *Service) importAll(ctx context.Context, rows []Row) (outcomes []Outcome, err error) {
	records := make([]record, len(rows))
	for i, r := range rows {
		records[i] = s.understand(r)
	}
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		outcomes = make([]Outcome, len(rows))
		for i, r := range records {
			outcomes[i] = Outcome{Line: rows[i].Line, Number: r.phone, Result: RowRefused, Reason: r.bad}
			if r.bad != "" {
				continue
			}
			var err error
			if outcomes[i].Result, outcomes[i].Reason, err = s.importOne(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return outcomes, err
}

// importOne asks one question and sends the rest along with the next.
func (s *Service) importOne(ctx context.Context, r record) (result, reason string, err error) {
	if result, reason, err = s.importable(ctx, r); err != nil || result != RowCreated {
		return result, reason, err
	}
	id, now := uuid.NewString(), db.Micros(time.Now())
	claims, err := encodeClaims(r.claims)
	if err != nil {
		return "", "", err
	}
	if err := s.db.ExecLater(ctx, `INSERT INTO users (id, status, claims, created_at, updated_at, seen_at) VALUES ($1, $2, $3, $4, $5, $5)`,
		id, Active, claims, db.Micros(r.createdAt), now); err != nil {
		return "", "", fmt.Errorf("import user: %w", err)
	}
	for _, i := range []struct {
		identifier
		shown    string
		verified int64
	}{
		{identifier{kindPhone, r.phone.E164()}, r.phone.E164(), 0}, {r.username, r.shownUsername, 0}, {r.email, r.shownEmail, r.emailVerified},
	} {
		if i.value == "" {
			continue
		}
		if err := s.db.ExecLater(ctx, `INSERT INTO identifiers (kind, lookup, user_id, sealed, verified_at) VALUES ($1, $2, $3, $4, $5)`,
			i.kind, s.lookup(i.identifier), id, s.seal(i.shown, id), i.verified); err != nil {
			return "", "", fmt.Errorf("import identifier: %w", err)
		}
	}
	if r.hash != "" {
		if err := s.db.ExecLater(ctx, `INSERT INTO passwords (user_id, hash, changed_at, used_at) VALUES ($1, $2, $3, 0)`, id, r.hash, now); err != nil {
			return "", "", fmt.Errorf("import password: %w", err)
		}
	}
	return RowCreated, "", s.record(ctx, "user.imported", operator, id, nil)
}

// importable says whether the identifiers of a row are free.
func (s *Service) importable(ctx context.Context, r record) (result, reason string, err error) {
	lookups := [3][]byte{{}, {}, {}}
	for i, id := range []identifier{{kindPhone, r.phone.E164()}, r.username, r.email} {
		if id.value != "" {
			lookups[i] = s.lookup(id)
		}
	}
	rows, err := s.db.Query(ctx, `
		SELECT kind FROM identifiers
		WHERE (kind = 'phone' AND lookup = $1) OR (kind = 'username' AND lookup = $2) OR (kind = 'email' AND lookup = $3)
		UNION SELECT 'phone' FROM former_numbers WHERE lookup = $1`,
		lookups[0], lookups[1], lookups[2])
	if err != nil {
		return "", "", fmt.Errorf("look for imported identifiers: %w", err)
	}
	defer rows.Close()
	result = RowCreated
	for rows.Next() {
		var kind string
		if err := rows.Scan(&kind); err != nil {
			return "", "", fmt.Errorf("look for imported identifiers: %w", err)
		}
		switch {
		case kind == kindPhone:
			result, reason = RowPresent, ""
		case result == RowPresent:
		case kind == kindUsername:
			result, reason = RowRefused, ErrUsernameTaken.Description
		default:
			result, reason = RowRefused, ErrEmailTaken.Description
		}
	}
	return result, reason, rows.Err()
}

// record is a row that was understood.
type record struct {
	phone                     sms.Number
	username, email           identifier
	shownUsername, shownEmail string
	emailVerified             int64 // identifiers.verified_at
	hash                      string
	createdAt                 time.Time
	claims                    map[string]any

	bad string // why it is refused
}

// understand understands a row, or says why not.
func (s *Service) understand(row Row) (r record) {
	if row.bad != "" {
		return record{bad: row.bad}
	}
	text := func(name string) string {
		if n, is := row.values[name].(json.Number); is {
			return n.String()
		}
		v, _ := row.values[name].(string)
		return strings.TrimSpace(v)
	}
	var ok bool
	if r.phone, ok = s.typedNumber(text("phone")); !ok {
		r.bad = "phone is not a mobile number"
		return r
	}
	patch := map[string]any{}
	for name, v := range row.values {
		if rule(name) != nil {
			patch[name] = v
		}
	}
	if r.bad = r.takeNames(row.values, text, patch); r.bad != "" {
		return r
	}
	// Django writes "!" and noise for an account that has no password.
	if r.hash = text("password_hash"); strings.HasPrefix(r.hash, "!") {
		r.hash = ""
	} else if _, has := row.values["password_hash"]; has {
		if password.Importable(r.hash) != nil {
			r.bad = "password_hash is of no kind or cost that can be verified"
			return r
		}
	}
	if r.createdAt, ok = instant(row.values["created_at"]); !ok {
		r.bad = "created_at is not a time such as 2024-05-31T08:30:00Z, or in the future"
		return r
	}
	var f *fault.Error
	var err error
	if r.claims, err = apply(nil, patch); errors.As(err, &f) {
		r.bad = f.Description
	}
	return r
}

// takeNames understands user name and e-mail address, which are claims as well.
func (r *record) takeNames(values map[string]any, text func(string) string, patch map[string]any) (bad string) {
	if _, has := values["username"]; has {
		r.shownUsername = text("username")
		value, ok := canonicalUsername(r.shownUsername)
		if !ok {
			return ErrUsernameInvalid.Description
		}
		r.username, patch["preferred_username"] = identifier{kindUsername, value}, r.shownUsername
	}
	verified, ok := truth(values["email_verified"])
	if !ok {
		return "email_verified is neither true nor false"
	}
	delete(patch, "email_verified")
	if _, has := values["email"]; has {
		r.shownEmail = text("email")
		value, ok := canonicalEmail(r.shownEmail)
		if !ok {
			return ErrEmailInvalid.Description
		}
		r.email, patch["email"], patch["email_verified"] = identifier{kindEmail, value}, r.shownEmail, verified
		if verified {
			r.emailVerified = db.Micros(time.Now())
		}
	}
	return ""
}

func truth(v any) (value, ok bool) {
	switch v := v.(type) {
	case nil:
		return false, true
	case bool:
		return v, true
	case string:
		value, err := strconv.ParseBool(strings.ToLower(v))
		return value, err == nil
	}
	return false, false
}

// instant reads a time of RFC 3339, one of SQL, a day, or seconds since 1970; now
// for none.
func instant(v any) (time.Time, bool) {
	now := time.Now()
	var text string
	switch v := v.(type) {
	case nil:
		return now, true
	case string:
		text = strings.TrimSpace(v)
	case json.Number:
		text = v.String()
	default:
		return time.Time{}, false
	}
	var at time.Time
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		at = time.Unix(seconds, 0)
	} else {
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", time.DateTime, "2006-01-02 15:04:05.999999999Z07", time.DateOnly} {
			if at, err = time.Parse(layout, text); err == nil {
				break
			}
		}
		if err != nil {
			return time.Time{}, false
		}
	}
	return at, at.After(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)) && at.Before(now.Add(24*time.Hour))
}
