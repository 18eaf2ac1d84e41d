package user

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

func TestScopesSelectClaims(t *testing.T) {
	u := User{
		ID: "sub", Status: Active, Phone: number(t, fixture(0)), PhoneVerifiedAt: time.Unix(1, 0),
		UpdatedAt: time.Unix(1700000000, 999), CreatedAt: time.Unix(1600000000, 0),
		Claims: map[string]any{
			"name": "Zhang San", "locale": "zh-CN", "email": "z@example.com", "email_verified": true,
			"address": map[string]any{"country": "CN"},
		},
	}
	unverified := u
	unverified.PhoneVerifiedAt = time.Time{}
	for name, c := range map[string]struct {
		user   User
		scopes string
		want   map[string]any
	}{
		"none":    {u, "openid offline_access", map[string]any{}},
		"profile": {u, "openid profile", map[string]any{"name": "Zhang San", "locale": "zh-CN", "updated_at": int64(1700000000)}},
		"email":   {u, "email", map[string]any{"email": "z@example.com", "email_verified": true}},
		"address": {u, "address", map[string]any{"address": map[string]any{"country": "CN"}}},
		"phone":   {u, "phone", map[string]any{"phone_number": fixture(0), "phone_number_verified": true}},
		"unproven phone": {unverified, "phone",
			map[string]any{"phone_number": fixture(0), "phone_number_verified": false}},
		"nothing to say": {User{UpdatedAt: time.Unix(1, 0)}, "profile email address phone", map[string]any{"updated_at": int64(1)}},
	} {
		if diff := cmp.Diff(c.want, StandardClaims(strings.Fields(c.scopes), c.user)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	document := u.Document()
	if document["sub"] != "sub" || document["status"] != Active || document["created_at"] != int64(1600000000) || document["phone_number"] != fixture(0) {
		t.Errorf("document %v", document)
	}
}

func TestClaimsAreCheckedByType(t *testing.T) {
	for patch, ok := range map[string]bool{
		`{"name":"张三","given_name":"三","family_name":"张","middle_name":"x","nickname":"S","gender":"female"}`: true,
		`{"name":5}`:                              false,
		`{"name":""}`:                             false,
		`{"name":"a\u0000b"}`:                     false,
		`{"name":"a\nb"}`:                         false,
		`{"name":"a\u202eb"}`:                     false,
		`{"name":["a"]}`:                          false,
		`{"name":null}`:                           true,
		`{"preferred_username":"zhang.san"}`:      true,
		`{"preferred_username":"张三"}`:             true,
		`{"preferred_username":"13800138000"}`:    false,
		`{"preferred_username":"+8613800138000"}`: false,
		`{"preferred_username":"１３８００１３８０００"}`:            false,
		`{"preferred_username":"a@example.com"}`:          false,
		`{"preferred_username":"a b"}`:                    false,
		`{"profile":"https://example.com/z"}`:             true,
		`{"picture":"javascript:alert(1)"}`:               false,
		`{"picture":"//example.com/x"}`:                   false,
		`{"website":"http://example.com"}`:                true,
		`{"website":"https://a@example.com"}`:             false,
		`{"website":"data:text/html,x"}`:                  false,
		`{"email":"z@example.com"}`:                       true,
		`{"email":"Zhang <z@example.com>"}`:               false,
		`{"email":"z@example.com, y@example.com"}`:        false,
		`{"email":"nothing"}`:                             false,
		`{"email_verified":true}`:                         true,
		`{"email_verified":"true"}`:                       false,
		`{"birthdate":"1990-02-28"}`:                      true,
		`{"birthdate":"0000-02-29"}`:                      true,
		`{"birthdate":"1990"}`:                            true,
		`{"birthdate":"1990-02-30"}`:                      false,
		`{"birthdate":"28.02.1990"}`:                      false,
		`{"zoneinfo":"Asia/Shanghai"}`:                    true,
		`{"zoneinfo":"../../etc/passwd"}`:                 false,
		`{"locale":"zh-CN"}`:                              true,
		`{"locale":"zh_CN"}`:                              true,
		`{"locale":"!"}`:                                  false,
		`{"address":{"country":"CN","formatted":"a\nb"}}`: true,
		`{"address":{"planet":"Earth"}}`:                  false,
		`{"address":{"country":{"x":1}}}`:                 false,
		`{"address":"Beijing"}`:                           false,
		`{"address":{}}`:                                  false,
		`{"sub":"x"}`:                                     false,
		`{"phone_number":"+8613800138001"}`:               false,
		`{"phone_number_verified":true}`:                  false,
		`{"updated_at":1}`:                                false,
		`{"status":"active"}`:                             false,
		`{"role":"admin"}`:                                false,
		`{"we\"ird\n":"x"}`:                               false,
		`{"name":"` + strings.Repeat("x", 513) + `"}`:     false,
	} {
		var changes map[string]any
		if err := json.Unmarshal([]byte(patch), &changes); err != nil {
			t.Fatal(err)
		}
		_, err := apply(nil, changes)
		if ok != (err == nil) {
			t.Errorf("%.60s: %v", patch, err)
		}
		if err == nil {
			continue
		}
		f := fault.From(err)
		if f.Status != 400 || f.Code != "invalid_request" || strings.ContainsAny(f.Description, "\"\\\n") {
			t.Errorf("%.60s: %v", patch, err)
		}
	}
}

func TestAPatchLeavesTheRest(t *testing.T) {
	before := map[string]any{"name": "A", "locale": "en"}
	after, err := apply(before, map[string]any{"name": nil, "nickname": "B"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"locale": "en", "nickname": "B"}, after); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(before) != 2 || before["name"] != "A" {
		t.Error("the old claims were changed in place")
	}
}

// No user name may ever be taken for a number.
func TestUserNamesNeverReadAsNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[\p{L}\p{Nd}+ ()._-]{1,20}`).Draw(t, "name")
		if !isUsername(name) {
			return
		}
		if _, err := sms.ParseNumber(name, []string{"CN", "US"}); err == nil {
			t.Fatalf("%q is a user name and a number", name)
		}
	})
}
