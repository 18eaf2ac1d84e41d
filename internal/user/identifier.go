package user

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// Faults of user names and e-mail addresses. That a name is taken cannot be hidden
// from who wants it; such questions are few and on record.
var (
	ErrUsernameInvalid = fault.New(http.StatusUnprocessableEntity, "username_invalid", "a user name has 3 to 32 letters and digits and begins with a letter")
	ErrUsernameTaken   = fault.New(http.StatusConflict, "username_taken", "this user name belongs to another account")
	ErrEmailInvalid    = fault.New(http.StatusUnprocessableEntity, "email_invalid", "this is not an e-mail address")
	ErrEmailTaken      = fault.New(http.StatusConflict, "email_taken", "this e-mail address belongs to another account")
)

// By is who changes an account, and from where.
type By struct {
	Actor   string // "user:ID", "client:ID" or "operator", as in the audit record
	Session string // browser session that outlives a change which ends the others, "" for none

	OneFactor bool // whoever it is showed one factor only: see weaken

	secret *string // where that session's cookie goes, which is then a new one; nil: it keeps its own
}

const (
	kindPhone    = "phone"
	kindUsername = "username"
	kindEmail    = "email"
)

// identifier is what an account is found by, in its one form: E.164; a user name
// under RFC 8265 UsernameCaseMapped; an e-mail address in lower case. Of the
// address both parts are folded: no provider in use tells Ann@ from ann@.
type identifier struct{ kind, value string }

func (s *Service) lookup(id identifier) []byte {
	if id.kind == kindPhone {
		if n, err := sms.FromE164(id.value); err == nil {
			return n.Index(s.vault)
		}
	}
	return s.vault.Index(id.kind, []byte(id.value))
}

// identify reads what was typed as one of the three. They cannot be confused: an
// address has an @, a number has no letter, a user name begins with one. What is
// none of them is a user name that nobody has.
func (s *Service) identify(typed string) identifier {
	if len(typed) > 512 {
		typed = typed[:512]
	}
	typed = strings.TrimSpace(typed)
	if strings.Contains(typed, "@") {
		if value, ok := canonicalEmail(typed); ok {
			return identifier{kindEmail, value}
		}
	} else if n, ok := s.typedNumber(typed); ok {
		return identifier{kindPhone, n.E164()}
	} else if value, ok := canonicalUsername(typed); ok {
		return identifier{kindUsername, value}
	}
	return identifier{kindUsername, "?" + strings.ToLower(strings.ToValidUTF8(typed, "?"))}
}

// typedNumber is a number as people type it, or any in the shape of E.164: an
// account may have one of a region where nothing is sent.
func (s *Service) typedNumber(typed string) (sms.Number, bool) {
	if n, err := sms.ParseNumber(typed, s.regions); err == nil {
		return n, true
	}
	n, err := sms.FromE164(strings.ReplaceAll(typed, " ", ""))
	return n, err == nil
}

const (
	minUsername = 3
	maxUsername = 32
)

// canonicalUsername folds case and width; false for what cannot be a user name.
func canonicalUsername(name string) (string, bool) {
	folded, err := precis.UsernameCaseMapped.String(name)
	n := utf8.RuneCountInString(folded)
	return folded, err == nil && n >= minUsername && n <= maxUsername && usernameFmt.MatchString(folded)
}

var emailFmt = regexp.MustCompile(`^[^@\s]{1,64}@[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)

func canonicalEmail(address string) (string, bool) {
	folded := strings.ToLower(address)
	return folded, len(address) <= 254 && utf8.ValidString(address) && isEmail(address) && emailFmt.MatchString(folded)
}

// SetUsername gives an account a name to sign in with, or takes it for "". It is
// the claim preferred_username too, with its capitals. Faults: ErrUsernameInvalid,
// ErrUsernameTaken, ErrTooManyTries; db.ErrNotFound without such an account.
func (s *Service) SetUsername(ctx context.Context, userID, name string, by By) error {
	var id identifier
	if name != "" {
		value, ok := canonicalUsername(name)
		if !ok {
			return ErrUsernameInvalid
		}
		if shown, err := precis.UsernameCasePreserved.String(name); err == nil {
			name = shown
		}
		id = identifier{kindUsername, value}
	}
	return s.setIdentifier(ctx, change{
		userID: userID, id: id, kind: kindUsername, shown: name, by: by, event: "user.username_changed", taken: ErrUsernameTaken,
		claims: map[string]any{"preferred_username": orNil(name)},
	})
}

// SetEmail gives an account an e-mail address to sign in with, or takes it for "", see ErrLastWayIn.
// It is the claim email too, with email_verified false: nothing proved it. Faults:
// ErrEmailInvalid, ErrEmailTaken, ErrTooManyTries; db.ErrNotFound without such an
// account.
func (s *Service) SetEmail(ctx context.Context, userID, address string, by By) error {
	c := change{
		userID: userID, kind: kindEmail, shown: address, by: by, event: "user.email_changed", taken: ErrEmailTaken,
		claims: map[string]any{"email": orNil(address), "email_verified": nil},
	}
	if address != "" {
		value, ok := canonicalEmail(address)
		if !ok {
			return ErrEmailInvalid
		}
		c.id, c.claims["email_verified"] = identifier{kindEmail, value}, false
	}
	return s.setIdentifier(ctx, c)
}

// orNil is how a patch removes a claim.
func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// change is one of an identifier.
type change struct {
	userID string
	id     identifier // zero: none any more
	kind   string
	shown  string // as it was typed, which is what is sealed
	by     By
	event  string
	taken  *fault.Error
	claims map[string]any
}

// changesPerDay bounds how many names an account may ask for: each answer tells
// whether somebody has it.
const changesPerDay = 10

func (s *Service) setIdentifier(ctx context.Context, c change) error {
	if c.by.Actor != operator {
		if _, err := s.spend(ctx, ephemeral.Limit{Key: "user:identifier:" + c.userID, Max: changesPerDay, Per: 24 * time.Hour}); err != nil {
			return err
		}
	}
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.touch(ctx, c.userID, c.event, c.by.Actor); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM identifiers WHERE kind = $1 AND user_id = $2`, c.kind, c.userID); err != nil {
			return fmt.Errorf("release an identifier: %w", err)
		}
		if c.id.kind != "" {
			taken, err := s.insertIdentifier(ctx, c.userID, c.id, c.shown, time.Time{})
			if err != nil {
				return err
			}
			if taken {
				return c.taken
			}
		} else if err := s.keepsWayIn(ctx, c.userID); err != nil {
			return err
		}
		_, _, err := s.patch(ctx, c.userID, c.claims)
		return err
	})
	if errors.Is(err, c.taken) { // on record by itself: who asks for many names collects those of others
		if failed := s.record(ctx, "user.name_refused", c.by.Actor, c.userID, map[string]string{"reason": c.taken.Code}); failed != nil {
			return failed
		}
	}
	return err
}

// insertIdentifier reports whether another account has it already.
func (s *Service) insertIdentifier(ctx context.Context, userID string, id identifier, shown string, verified time.Time) (taken bool, err error) {
	var at int64
	if !verified.IsZero() {
		at = db.Micros(verified)
	}
	n, err := s.db.Exec(ctx, `
		INSERT INTO identifiers (kind, lookup, user_id, sealed, verified_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (kind, lookup) DO NOTHING`, id.kind, s.lookup(id), userID, s.seal(shown, userID), at)
	if err != nil {
		return false, fmt.Errorf("insert identifier: %w", err)
	}
	return n == 0, nil
}

// Identifier is what an account is found by, as its owner typed it.
type Identifier struct {
	Kind       string    `json:"kind"` // phone, username or email
	Value      string    `json:"value"`
	VerifiedAt time.Time `json:"verified_at,omitzero"`
}

// String is without the value.
func (i Identifier) String() string { return i.Kind }

// Identifiers returns all of an account, none if there is no such account.
func (s *Service) Identifiers(ctx context.Context, userID string) ([]Identifier, error) {
	rows, err := s.db.Query(ctx, `SELECT kind, sealed, verified_at FROM identifiers WHERE user_id = $1 ORDER BY kind`, userID)
	if err != nil {
		return nil, fmt.Errorf("list identifiers: %w", err)
	}
	defer rows.Close()
	list := []Identifier{}
	for rows.Next() {
		var i Identifier
		var sealed []byte
		var verified int64
		if err := rows.Scan(&i.Kind, &sealed, &verified); err != nil {
			return nil, fmt.Errorf("list identifiers: %w", err)
		}
		value, err := s.vault.Open(labelIdentifier, sealed, []byte(userID))
		if err != nil {
			return nil, fmt.Errorf("open an identifier of user %s: %w", userID, err)
		}
		i.Value = string(value)
		if verified != 0 {
			i.VerifiedAt = db.Time(verified)
		}
		list = append(list, i)
	}
	return list, rows.Err()
}
