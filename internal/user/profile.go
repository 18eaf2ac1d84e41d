package user

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// Why a profile is refused. Param "field" is the claim, "n" the most characters.
var (
	ErrNameTooLong   = fault.New(http.StatusUnprocessableEntity, "name_too_long", "a name is too long")
	ErrNameInvalid   = fault.New(http.StatusUnprocessableEntity, "name_invalid", "a name has no character that can be shown")
	ErrLocaleInvalid = fault.New(http.StatusUnprocessableEntity, "locale_invalid", "the locale is no BCP 47 language tag")
)

// Profile is what people say of themselves, under the names of the claims. An
// empty member is a claim that there is none of.
type Profile struct {
	Nickname   string // at most 50 characters
	Name       string // at most 100, as are its parts
	FamilyName string
	GivenName  string
	Locale     string // BCP 47
}

// ProfileOf reads the claims of u.
func ProfileOf(u User) Profile {
	claim := func(name string) string { s, _ := u.Claims[name].(string); return s }
	return Profile{
		Nickname: claim("nickname"), Name: claim("name"), FamilyName: claim("family_name"),
		GivenName: claim("given_name"), Locale: claim("locale"),
	}
}

// SaveProfile replaces the claims of a Profile for the person themselves, see
// PatchProfile.
func (s *Service) SaveProfile(ctx context.Context, id string, p Profile) (User, error) {
	return s.PatchProfile(ctx, id, ProfilePatch{
		Nickname: &p.Nickname, Name: &p.Name, FamilyName: &p.FamilyName, GivenName: &p.GivenName, Locale: &p.Locale,
	})
}

// profilesPerHour are the changes of a person's profile, each of which is on record.
const profilesPerHour = 100

// ProfilePatch has the members of a Profile; a nil one stays as it is.
type ProfilePatch struct{ Nickname, Name, FamilyName, GivenName, Locale *string }

// PatchProfile changes claims of a Profile for the person themselves. Names are
// cleaned of what cannot be shown first. Saving what is there already writes
// nothing. Faults: name_too_long, name_invalid, locale_invalid, ErrTooManyTries.
func (s *Service) PatchProfile(ctx context.Context, id string, p ProfilePatch) (User, error) {
	patch := map[string]any{}
	for _, f := range []struct {
		claim string
		typed *string
		most  int
	}{
		{"nickname", p.Nickname, maxNickname}, {"name", p.Name, maxName},
		{"family_name", p.FamilyName, maxName}, {"given_name", p.GivenName, maxName},
	} {
		if f.typed == nil {
			continue
		}
		name := cleanName(*f.typed)
		switch {
		case name == "" && strings.TrimSpace(*f.typed) != "":
			return User{}, ErrNameInvalid.With("field", f.claim)
		case characters(name) > f.most || len(name) > maxNameBytes:
			return User{}, ErrNameTooLong.With("field", f.claim).With("n", strconv.Itoa(f.most))
		}
		patch[f.claim] = orNil(name)
	}
	if p.Locale != nil {
		if _, err := language.Parse(*p.Locale); *p.Locale != "" && (err != nil || len(*p.Locale) > 35) { // RFC 5646 section 4.4.1
			return User{}, ErrLocaleInvalid.With("field", "locale")
		}
		patch["locale"] = orNil(*p.Locale)
	}
	if err := s.spendOwn(ctx, "profile", id, profilesPerHour, time.Hour); err != nil {
		return User{}, err
	}
	return s.update(ctx, id, "user:"+id, patch)
}

// update changes claims for actor and records which. What changes nothing is not
// written. db.ErrNotFound without an account.
func (s *Service) update(ctx context.Context, id, actor string, patch map[string]any) (User, error) {
	var u User
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		// Taking the row first makes a second update wait, so that none is lost
		// between the reading and the writing.
		n, err := s.db.Exec(ctx, `UPDATE users SET status = status WHERE id = $1`, id)
		if err != nil {
			return fmt.Errorf("lock user: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("change user: %w", db.ErrNotFound)
		}
		var changed bool
		if u, changed, err = s.patch(ctx, id, patch); err != nil || !changed {
			return err
		}
		return s.record(ctx, "user.updated", actor, id, nil)
	})
	return u, err
}

// patch changes claims of an account whose row the transaction holds.
func (s *Service) patch(ctx context.Context, id string, patch map[string]any) (u User, changed bool, err error) {
	if u, err = s.find(ctx, id); err != nil {
		return User{}, false, err
	}
	before, err := encodeClaims(u.Claims)
	if err != nil {
		return User{}, false, err
	}
	if u.Claims, err = apply(u.Claims, patch); err != nil {
		return User{}, false, err
	}
	text, err := encodeClaims(u.Claims)
	if err != nil || text == before {
		return u, false, err
	}
	u.UpdatedAt = db.Time(db.Micros(time.Now()))
	if _, err := s.db.Exec(ctx, `UPDATE users SET claims = $1, updated_at = $2 WHERE id = $3`,
		text, db.Micros(u.UpdatedAt), id); err != nil {
		return User{}, false, fmt.Errorf("update user: %w", err)
	}
	return u, true, nil
}
