package user

import (
	"encoding/json"
	"slices"
)

// Which standard claims a scope asks for, OpenID Connect Core section 5.4. The
// claims that the account itself decides (updated_at and the phone's) are not here.
var (
	profileClaims = []string{
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username",
		"profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale",
	}
	emailClaims   = []string{"email", "email_verified"}
	addressClaims = []string{"address"}
)

// StandardClaims returns what userinfo and ID tokens say about u under these
// scopes, sub aside. A claim without a value is left out (section 5.3.2).
func StandardClaims(scopes []string, u User) map[string]any {
	out := make(map[string]any)
	take := func(names []string) {
		for _, name := range names {
			if v, ok := u.Claims[name]; ok {
				out[name] = v
			}
		}
	}
	if slices.Contains(scopes, "profile") {
		take(profileClaims)
		out["updated_at"] = u.UpdatedAt.Unix()
	}
	if slices.Contains(scopes, "email") {
		take(emailClaims)
	}
	if slices.Contains(scopes, "address") {
		take(addressClaims)
	}
	if slices.Contains(scopes, "phone") && !u.Phone.IsZero() {
		out["phone_number"] = u.Phone.E164()
		out["phone_number_verified"] = !u.PhoneVerifiedAt.IsZero()
	}
	return out
}

// Document is the whole account under the standard claim names, with status and
// created_at (seconds, as updated_at is), for the operator's eyes: it holds the
// number in clear. closes_at and former_phone_number are there if they apply.
func (u User) Document() map[string]any {
	out := StandardClaims([]string{"profile", "email", "address", "phone"}, u)
	out["sub"] = u.ID
	out["status"] = u.Status
	out["created_at"] = u.CreatedAt.Unix()
	if !u.ClosesAt.IsZero() {
		out["closes_at"] = u.ClosesAt.Unix()
	}
	if !u.FormerPhone.IsZero() {
		out["former_phone_number"] = u.FormerPhone.E164()
	}
	return out
}

// MarshalJSON writes the Document, number and all: who marshals an account means
// to hand it over. Logging and printing one shows neither number nor claims.
func (u User) MarshalJSON() ([]byte, error) { return json.Marshal(u.Document()) }
