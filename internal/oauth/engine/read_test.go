package engine_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/signing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a JWT's header and claims with a file, after replacing what differs each time.
func (w *world) golden(name, jwt string, replace map[string]string) {
	w.t.Helper()
	header, _ := w.claims(jwt)
	part, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	ok(w.t, err)
	var pretty bytes.Buffer
	ok(w.t, json.Indent(&pretty, part, "", "  "))
	got := fmt.Sprintf("{\"alg\": %q, \"typ\": %q, \"kid\": \"...\"}\n%s\n", header["alg"], header["typ"], pretty.String())
	if len(header) != 3 || header["kid"] == "" {
		w.t.Errorf("header %v", header)
	}
	for value, placeholder := range replace {
		got = strings.ReplaceAll(got, value, placeholder)
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		ok(w.t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	ok(w.t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		w.t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

func TestClaimsOnTheWire(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	a := w.authorization("web")
	a.Person.SessionID = "018f6f3a-0000-7000-8000-00000000abcd"
	w.exec(`INSERT INTO sessions (id, user_id, secret_hash, auth_time, amr, acr, user_agent, ip_prefix, created_at, seen_at, expires_at)
		VALUES ($1, $2, $3, 0, '', '', '', '', 0, 0, 9000000000000000)`, a.Person.SessionID, person, []byte("x"))
	check := func(name string, r engine.TokenResponse) {
		t.Helper()
		access, err := w.engine.AccessToken(r.AccessToken)
		ok(t, err)
		replace := map[string]string{
			access.ID: "JTI", fmt.Sprint(access.IssuedAt.Unix()): "IAT", fmt.Sprint(access.ExpiresAt.Unix()): "IAT+600",
			fmt.Sprint(a.Person.AuthTime.Unix()): "AUTH_TIME",
		}
		if access.GrantID != "" {
			replace[access.GrantID] = "GRANT"
		}
		if access.ExpiresAt.Sub(access.IssuedAt) != 10*time.Minute {
			t.Errorf("the access token lives for %v", access.ExpiresAt.Sub(access.IssuedAt))
		}
		w.golden(name+"_access_token", r.AccessToken, replace)
		if r.IDToken == "" {
			return
		}
		_, claims := w.claims(r.IDToken)
		iat, exp := int64(claims["iat"].(float64)), int64(claims["exp"].(float64))
		if exp-iat != 3600 {
			t.Errorf("the ID token lives for %d s", exp-iat)
		}
		delete(replace, fmt.Sprint(access.ExpiresAt.Unix()))
		replace[fmt.Sprint(exp)], replace[claims["jti"].(string)], replace[claims["at_hash"].(string)] = "IAT+3600", "JTI", "AT_HASH"
		w.golden(name+"_id_token", r.IDToken, replace)
	}
	r, err := w.redeem("web", w.code(a))
	ok(t, err)
	check("code", r)
	r, err = w.refresh("web", r.RefreshToken)
	ok(t, err)
	check("refresh", r)
	r, err = w.token("m2m", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}})
	ok(t, err)
	check("client_credentials", r)
}

func TestTheClientChoosesTheAlgorithmOfItsIDTokens(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	for _, alg := range signing.Algorithms() {
		first := w.signIn(string(alg))
		next, err := w.refresh(string(alg), first.RefreshToken)
		ok(t, err)
		for _, r := range []engine.TokenResponse{first, next} {
			header, claims := w.claims(r.IDToken)
			sum := sha256.Sum256([]byte(r.AccessToken))
			want := base64.RawURLEncoding.EncodeToString(sum[:16])
			if alg == signing.EdDSA { // Ed25519 hashes with SHA-512
				sum := sha512.Sum512([]byte(r.AccessToken))
				want = base64.RawURLEncoding.EncodeToString(sum[:32])
			}
			if header["alg"] != string(alg) || header["typ"] != "JWT" || claims["at_hash"] != want {
				t.Errorf("%s: header %v, at_hash %v, want %s", alg, header, claims["at_hash"], want)
			}
			if header, _ := w.claims(r.AccessToken); header["alg"] != "ES256" || header["typ"] != "at+jwt" {
				t.Errorf("access token of a client with %s: %v", alg, header)
			}
		}
	}
	if header, _ := w.claims(w.signIn("web").IDToken); header["alg"] != "RS256" {
		t.Errorf("without a choice the algorithm is %v", header["alg"])
	}
}

func TestAnIDTokenIsNoAccessTokenAndTheReverse(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	r := w.signIn("ES256") // both are signed with the same key
	_, err := w.engine.AccessToken(r.IDToken)
	refused(t, err, "invalid_token", r.IDToken)
	_, err = w.engine.IDTokenHint(r.AccessToken)
	refused(t, err, "invalid_request", r.AccessToken)
	_, err = w.engine.AccessToken(r.RefreshToken)
	refused(t, err, "invalid_token", r.RefreshToken)
	_, err = w.refresh("ES256", r.AccessToken)
	refused(t, err, "invalid_grant", r.AccessToken)
}

func TestForgedAndForeignTokensAreRefused(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	r := w.signIn("ES256")
	sign := func(typ string, change func(map[string]any)) string {
		t.Helper()
		from := r.AccessToken
		if typ == "JWT" {
			from = r.IDToken
		}
		_, claims := w.claims(from)
		change(claims)
		payload, err := json.Marshal(claims)
		ok(t, err)
		token, err := w.ring.Sign(signing.ES256, typ, payload)
		ok(t, err)
		return token
	}
	parts := strings.Split(r.AccessToken, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	for name, token := range map[string]string{
		"alg none":         none + "." + parts[1] + ".",
		"no signature":     parts[0] + "." + parts[1] + ".",
		"other issuer":     sign("at+jwt", func(c map[string]any) { c["iss"] = "https://other.example" }),
		"other audience":   sign("at+jwt", func(c map[string]any) { c["aud"] = []string{"https://api.example"} }),
		"no audience":      sign("at+jwt", func(c map[string]any) { delete(c, "aud") }),
		"no expiry":        sign("at+jwt", func(c map[string]any) { delete(c, "exp") }),
		"expired":          sign("at+jwt", func(c map[string]any) { c["exp"] = time.Now().Unix() }),
		"expiry as text":   sign("at+jwt", func(c map[string]any) { c["exp"] = "9999999999" }),
		"other typ":        sign("logout+jwt", func(map[string]any) {}),
		"typ of an ID":     sign("JWT", func(map[string]any) {}),
		"cut":              r.AccessToken[:len(r.AccessToken)-1],
		"extended":         r.AccessToken + "A",
		"empty":            "",
		"another's claims": parts[0] + "." + strings.Split(r.IDToken, ".")[1] + "." + parts[2],
	} {
		if _, err := w.engine.AccessToken(token); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			refused(t, err, "invalid_token", token)
		}
	}
	for name, token := range map[string]string{
		"alg none":     base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + strings.Split(r.IDToken, ".")[1] + ".",
		"other issuer": sign("JWT", func(c map[string]any) { c["iss"] = "https://other.example" }),
		"no subject":   sign("JWT", func(c map[string]any) { delete(c, "sub") }),
		"garbage":      "x.y.z",
	} {
		_, err := w.engine.IDTokenHint(token)
		refused(t, err, "invalid_request", token)
		_ = name
	}
}

func TestTokensOutliveARotationOfTheKeys(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d)
	w := build(t, d, v, openRing(t, d, v))
	before := w.signIn("web")
	for _, alg := range signing.Algorithms() {
		ok(t, w.ring.RotateNow(t.Context(), alg))
	}
	after := w.signIn("web")
	for _, r := range []engine.TokenResponse{before, after} {
		if _, err := w.engine.AccessToken(r.AccessToken); err != nil {
			t.Errorf("access token: %v", err)
		}
		hint, err := w.engine.IDTokenHint(r.IDToken)
		if err != nil || hint.Subject != person || len(hint.Audience) != 1 || hint.Audience[0] != "web" {
			t.Errorf("hint %+v, %v", hint, err)
		}
	}
	old, _ := w.claims(before.AccessToken)
	if fresh, _ := w.claims(after.AccessToken); fresh["kid"] == old["kid"] {
		t.Error("the rotation did not change the key")
	}
}

func TestAnAccessTokenExpiresAndAHintDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t))
		r := w.signIn("web")
		time.Sleep(10*time.Minute - time.Second)
		_, err := w.engine.AccessToken(r.AccessToken)
		ok(t, err)
		time.Sleep(time.Second)
		_, err = w.engine.AccessToken(r.AccessToken)
		refused(t, err, "invalid_token", r.AccessToken)
		time.Sleep(2 * time.Hour)
		hint, err := w.engine.IDTokenHint(r.IDToken)
		if err != nil || !hint.ExpiresAt.Before(time.Now()) {
			t.Errorf("an expired hint: %+v, %v", hint, err)
		}
	})
}

// A person may sign out with the ID token of a month ago, whose key retired long since.
func TestAHintOutlivesTheKeyOfItsSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		v := openVault(t, d)
		w := build(t, d, v, openRing(t, d, v))
		r := w.signIn("web")
		ok(t, w.ring.RotateNow(t.Context(), signing.RS256))
		time.Sleep(30 * 24 * time.Hour)
		if _, err := w.ring.Verify(r.IDToken); err == nil {
			t.Error("the key still verifies")
		}
		hint, err := w.engine.IDTokenHint(r.IDToken)
		if err != nil || hint.Subject != person {
			t.Errorf("hint %+v, %v", hint, err)
		}
		time.Sleep(2 * 24 * time.Hour)
		_, err = w.engine.IDTokenHint(r.IDToken)
		refused(t, err, "invalid_request", r.IDToken)
	})
}

// FuzzRefreshToken holds that nothing but the very token opens the grant.
func FuzzRefreshToken(f *testing.F) {
	w := newWorld(f, dbtest.Open(f))
	r := w.signIn("web")
	g := w.grantOf(r)
	mac := r.RefreshToken[strings.LastIndex(r.RefreshToken, ".")+1:]
	for _, seed := range []string{
		r.RefreshToken, "", "rt.", "rt.." + mac, "rt." + g.ID + ".1." + mac, "rt." + g.ID + ".2." + mac, "rt." + strings.ToUpper(g.ID) + ".1." + mac,
		"rt.{" + g.ID + "}.1." + mac, "rt.urn:uuid:" + g.ID + ".1." + mac, "rt." + g.ID + ".+1." + mac, "rt." + g.ID + ".1." + mac + "=", r.AccessToken,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, usable, err := w.engine.RefreshToken(t.Context(), raw)
		if genuine := raw == r.RefreshToken; genuine != (err == nil) || usable != genuine || (got.ID == g.ID) != genuine {
			t.Errorf("%q: grant %q, usable %v, %v", raw, got.ID, usable, err)
		}
	})
}

// FuzzCode holds that nothing but the very code is worth anything.
func FuzzCode(f *testing.F) {
	w := newWorld(f, dbtest.Open(f))
	code, other := w.code(w.authorization("web")), w.client("web2")
	for _, seed := range []string{code, "x", code[1:], code + "A", code + "\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		// The other client is refused for the genuine code as well, so that it lives on.
		form := url.Values{"grant_type": {"authorization_code"}, "code": {raw}, "redirect_uri": {callback}, "code_verifier": {verifier}}
		_, err := w.engine.Token(t.Context(), engine.TokenRequest{Client: other, Form: form})
		if raw == "" {
			refused(t, err, "invalid_request")
		} else {
			refused(t, err, "invalid_grant")
		}
	})
}

// What was verified is remembered, but not beyond its key.
func TestAccessTokensOfADistrustedKeyAreRefused(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d)
	w := build(t, d, v, openRing(t, d, v))
	r := w.signIn("web")
	if _, err := w.engine.AccessToken(r.AccessToken); err != nil {
		t.Fatal(err)
	}
	ok(t, w.ring.Distrust(t.Context(), signing.ES256))
	_, err := w.engine.AccessToken(r.AccessToken)
	refused(t, err, "invalid_token")
}
