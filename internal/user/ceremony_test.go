package user

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// A passkey is added for one session, once, and an account has at most twenty.
func TestAddingPasskeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in, other := h.signIn(fixture(1)), h.signIn(fixture(2))
		ctx := t.Context()
		begin := func() PasskeyChallenge {
			c, err := h.users.BeginPasskey(ctx, in.User, in.Session.ID)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		key := newAuthenticator(t)
		c := begin()
		made := key.create(c)
		if _, err := h.users.FinishPasskey(ctx, other.User, By{Session: other.Session.ID}, c.State, made, ""); !errors.Is(err, ErrPasskeyExpired) {
			t.Errorf("in another's session: %v", err)
		}
		for name, change := range map[string]func(*authenticator){
			"wrong origin":        func(a *authenticator) { a.origin = "https://evil.example" },
			"wrong relying party": func(a *authenticator) { a.rpID = "evil.example" },
			"nobody verified":     func(a *authenticator) { a.flags &^= protocol.FlagUserVerified },
		} {
			a := *key
			change(&a)
			if _, err := h.users.FinishPasskey(ctx, in.User, By{Session: in.Session.ID}, c.State, a.create(c), ""); !errors.Is(err, ErrPasskeyFailed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := h.users.FinishPasskey(ctx, in.User, By{Session: in.Session.ID}, c.State, made, "\x00 "); err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.FinishPasskey(ctx, in.User, By{Session: in.Session.ID}, c.State, made, ""); !errors.Is(err, ErrPasskeyExpired) {
			t.Errorf("replayed: %v", err)
		}
		c = begin()
		if _, err := h.users.FinishPasskey(ctx, in.User, By{Session: in.Session.ID}, c.State, key.create(c), ""); !errors.Is(err, ErrPasskeyExists) {
			t.Errorf("the same again: %v", err)
		}
		c, err := h.users.BeginPasskey(ctx, other.User, other.Session.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.FinishPasskey(ctx, other.User, By{Session: other.Session.ID}, c.State, key.create(c), ""); !errors.Is(err, ErrPasskeyExists) {
			t.Errorf("another's passkey: %v", err)
		}
		var wait sync.WaitGroup
		var kept atomic.Int64
		questions := make([]PasskeyChallenge, 2*passkeysKept)
		for i := range questions {
			questions[i] = begin()
		}
		for _, c := range questions {
			made := newAuthenticator(t).create(c)
			wait.Go(func() {
				switch _, err := h.users.FinishPasskey(ctx, in.User, By{Session: in.Session.ID}, c.State, made, ""); {
				case err == nil:
					kept.Add(1)
				case !errors.Is(err, ErrPasskeyLimit):
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if n := h.rows(`SELECT COUNT(*) FROM passkeys WHERE user_id = $1`, in.User.ID); n != passkeysKept || kept.Load() != passkeysKept-1 {
			t.Errorf("%d passkeys", n)
		}
		if _, err := h.users.BeginPasskey(ctx, in.User, in.Session.ID); !errors.Is(err, ErrPasskeyLimit) {
			t.Errorf("one more: %v", err)
		}
	})
}

// An Android app says which certificate it is signed with in place of an origin.
func TestAndroidAppsAreListed(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	key, b := newAuthenticator(t), h.browser()
	b.signIn(fixture(0))
	b.addPasskey(key)
	key.origin = "android:apk-key-hash:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	if _, err := h.byKey(key); !errors.Is(err, ErrPasskeyFailed) {
		t.Errorf("an app that is not listed: %v", err)
	}
	for _, odd := range []string{"https://app.example", "android:apk-key-hash:", "android:apk-key-hash:47DEQpj8", key.origin + "="} {
		if err := h.users.EnablePasskeys(issuer, "Dialtone", h.short, odd); err == nil {
			t.Errorf("%s is taken", odd)
		}
	}
	if err := h.users.EnablePasskeys(issuer, "Dialtone", h.short, key.origin); err != nil {
		t.Fatal(err)
	}
	if _, err := h.byKey(key); err != nil {
		t.Errorf("a listed app: %v", err)
	}
	key.origin = issuer
	if _, err := h.byKey(key); err != nil {
		t.Errorf("a browser: %v", err)
	}
}

func TestPasskeysNeedANameForAHost(t *testing.T) {
	for address, want := range map[string]bool{
		"https://id.example": true, "http://localhost:8080": true, "http://127.0.0.1:8080": false, "https://[2001:db8::1]:8443": false,
	} {
		s := &Service{}
		if err := s.EnablePasskeys(address, "Dialtone", nil); err != nil || s.HasPasskeys() != want {
			t.Errorf("%s: %t, %v", address, s.HasPasskeys(), err)
		}
	}
	s := &Service{}
	if _, err := s.BeginPasskeySignIn(nil); !errors.Is(err, ErrPasskeysOff) {
		t.Error(err)
	}
	if _, err := s.SignInByPasskey(t.Context(), Assertion{}, Attempt{}); !errors.Is(err, ErrPasskeysOff) {
		t.Error(err)
	}
	if _, err := s.BeginPasskey(t.Context(), User{}, ""); !errors.Is(err, ErrPasskeysOff) {
		t.Error(err)
	}
}

// What a script says of transports is kept as far as the specification knows it.
func TestTransportsAreThoseThatAreKnown(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(1))
		c, err := h.users.BeginPasskey(t.Context(), in.User, in.Session.ID)
		if err != nil {
			t.Fatal(err)
		}
		made := strings.Replace(string(newAuthenticator(t).create(c)), `"response":{`, `"response":{"transports":["internal","\u0000","two words","usb","usb"],`, 1)
		if _, err := h.users.FinishPasskey(t.Context(), in.User, By{Session: in.Session.ID}, c.State, []byte(made), ""); err != nil {
			t.Fatal(err)
		}
		if n := h.rows(`SELECT count(*) FROM passkeys WHERE transports = 'internal usb'`); n != 1 {
			t.Error("others were kept")
		}
	})
}
