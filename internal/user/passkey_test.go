package user

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

var flowOfTest = []byte("the binding of one browser's flow")

// enrol gives the person who signed in a passkey.
func (h *house) enrol(in SignedIn, a *authenticator) {
	h.t.Helper()
	c, err := h.users.BeginPasskey(context.Background(), in.User, in.Session.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.users.FinishPasskey(context.Background(), in.User, By{Session: in.Session.ID}, c.State, a.create(c), "Phone"); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) question() PasskeyChallenge {
	h.t.Helper()
	c, err := h.users.BeginPasskeySignIn(flowOfTest)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// answer signs in with the answer to a question.
func (h *house) answer(c PasskeyChallenge, response []byte) (SignedIn, error) {
	return h.users.SignInByPasskey(context.Background(), Assertion{Binding: flowOfTest, State: c.State, Response: response},
		Attempt{ClientID: "app", Browser: true, UserAgent: "test"})
}

func (h *house) events(userID string) (names []string) {
	h.t.Helper()
	list, err := audit.New(h.db).List(context.Background(), userID, audit.Entry{}, 100)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name)
	}
	slices.Reverse(names)
	return names
}

func TestAPasskeySignsIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for name, test := range map[string]struct {
			key *authenticator
			amr string
		}{
			"bound to a device": {newAuthenticator(t), "hwk user mfa"},
			"synchronised":      {newAuthenticator(t).synced(), "swk user mfa"},
		} {
			by := h.signIn(fixture(len(name)))
			h.enrol(by, test.key)
			in, err := h.answer(h.question(), test.key.get(h.question()))
			if !errors.Is(err, ErrPasskeyFailed) {
				t.Errorf("%s: the answer to another question: %v", name, err)
			}
			q := h.question()
			if in, err = h.answer(q, test.key.get(q)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if in.User.ID != by.User.ID || in.Created || in.Session.ID == by.Session.ID {
				t.Errorf("%s: signed in as %s, session %s", name, in.User.ID, in.Session.ID)
			}
			session, u, err := h.users.SessionOf(with(in.Secret))
			if err != nil || u.ID != by.User.ID || strings.Join(session.AMR, " ") != test.amr || session.ACR != ACRPasskey {
				t.Errorf("%s: session %v %s, %v", name, session.AMR, session.ACR, err)
			}
			if strings.Join(in.AMR, " ") != test.amr || in.ACR != "2" {
				t.Errorf("%s: %v %s", name, in.AMR, in.ACR)
			}
			keys, err := h.users.Passkeys(context.Background(), u.ID)
			if err != nil || len(keys) != 1 || keys[0].Name != "Phone" || keys[0].UsedAt.IsZero() || keys[0].ID != test.key.credentialID() {
				t.Errorf("%s: %+v, %v", name, keys, err)
			}
			if got := h.events(u.ID); !slices.Equal(got, []string{"user.created", "passkey.added", "login.succeeded"}) {
				t.Errorf("%s: on record: %v", name, got)
			}
			text, err := h.users.Export(context.Background(), u.ID)
			if err != nil || !strings.Contains(string(text), `"name": "Phone"`) || strings.Contains(string(text), "public") {
				t.Errorf("%s: export %v: %s", name, err, text)
			}
		}
	})
}

// What is asked of a browser is what the specification calls a passkey, and tells
// nobody's number.
func TestWhatAPasskeyIsAskedFor(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	in := h.signIn(fixture(1))
	h.enrol(in, newAuthenticator(t))
	c, err := h.users.BeginPasskey(t.Context(), in.User, in.Session.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"rp":{"name":"Dialtone","id":"id.example"}`, `"residentKey":"required"`, `"userVerification":"required"`,
		`"attestation":"none"`, `"name":"+86 138****8001"`, `"alg":-7`, `"excludeCredentials":[{`} {
		if !strings.Contains(string(c.Options), want) {
			t.Errorf("no %s in %s", want, c.Options)
		}
	}
	if strings.Contains(string(c.Options), "13800138001") {
		t.Error("the number is in clear")
	}
	q := string(h.question().Options)
	if !strings.Contains(q, `"rpId":"id.example"`) || !strings.Contains(q, `"userVerification":"required"`) || strings.Contains(q, "allowCredentials") {
		t.Errorf("sign-in: %s", q)
	}
}

func TestAnAnswerThatIsNotRightSignsNobodyIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key := newAuthenticator(t)
		in := h.signIn(fixture(1))
		h.enrol(in, key)
		stranger := newAuthenticator(t)
		stranger.handle, stranger.id = key.handle, key.id
		other := h.signIn(fixture(2))
		for name, test := range map[string]struct {
			change func(*authenticator)
			want   error
		}{
			"wrong origin":        {func(a *authenticator) { a.origin = "https://id.example.evil" }, ErrPasskeyFailed},
			"plain http":          {func(a *authenticator) { a.origin = "http://id.example" }, ErrPasskeyFailed},
			"another port":        {func(a *authenticator) { a.origin = "https://id.example:8443" }, ErrPasskeyFailed},
			"wrong relying party": {func(a *authenticator) { a.rpID = "example" }, ErrPasskeyFailed},
			"nobody verified":     {func(a *authenticator) { a.flags &^= protocol.FlagUserVerified }, ErrPasskeyFailed},
			"nobody present":      {func(a *authenticator) { a.flags &^= protocol.FlagUserPresent }, ErrPasskeyFailed},
			"another key":         {func(a *authenticator) { a.key = stranger.key }, ErrPasskeyFailed},
			"foreign user":        {func(a *authenticator) { a.handle = []byte(other.User.ID) }, ErrPasskeyFailed},
			"no user":             {func(a *authenticator) { a.handle = nil }, ErrPasskeyFailed},
			"became synchronised": {func(a *authenticator) { a.flags |= protocol.FlagBackupEligible }, ErrPasskeyFailed},
			"unknown key":         {func(a *authenticator) { a.id = []byte("nobody's") }, ErrPasskeyUnknown},
		} {
			a := *key
			test.change(&a)
			q := h.question()
			if _, err := h.answer(q, a.get(q)); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
			if _, err := h.answer(q, key.get(q)); err != nil {
				t.Errorf("%s: a wrong answer uses the question up: %v", name, err)
			}
		}
		for _, response := range []string{"", "{}", "null", "[]", `{"id":"` + key.credentialID() + `"}`, strings.Repeat("[", 9000)} {
			if _, err := h.answer(h.question(), []byte(response)); !errors.Is(err, ErrPasskeyFailed) {
				t.Errorf("%.20s: %v", response, err)
			}
		}
	})
}

func TestAQuestionIsForOneBrowserOnceAndFiveMinutes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key := newAuthenticator(t)
		in := h.signIn(fixture(1))
		h.enrol(in, key)
		q := h.question()
		response := key.get(q)
		if _, err := h.users.SignInByPasskey(t.Context(), Assertion{Binding: []byte("another browser's"), State: q.State, Response: response}, Attempt{}); !errors.Is(err, ErrPasskeyExpired) {
			t.Errorf("in another browser: %v", err)
		}
		if _, err := h.answer(q, response); err != nil {
			t.Fatal(err)
		}
		if _, err := h.answer(q, response); !errors.Is(err, ErrPasskeyExpired) {
			t.Errorf("replayed: %v", err)
		}
		for _, state := range []string{"", "x", q.State[:len(q.State)-4], q.State + "AAAA", "!"} {
			if _, err := h.answer(PasskeyChallenge{State: state}, response); !errors.Is(err, ErrPasskeyExpired) {
				t.Errorf("state %q: %v", state, err)
			}
		}
		// One ceremony's question is no other's, though the binding is the same.
		c, err := h.users.BeginPasskey(t.Context(), in.User, string(flowOfTest))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.answer(c, key.get(c)); !errors.Is(err, ErrPasskeyExpired) {
			t.Errorf("a question for a new passkey signs in: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		key := newAuthenticator(t)
		h.enrol(h.signIn(fixture(1)), key)
		young, old := h.question(), h.question()
		time.Sleep(challengeLife)
		if _, err := h.answer(young, key.get(young)); err != nil {
			t.Errorf("at the last moment: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := h.answer(old, key.get(old)); !errors.Is(err, ErrPasskeyExpired) {
			t.Errorf("after five minutes: %v", err)
		}
	})
}

// One assertion at 64 places at once is one sign-in.
func TestOneAssertionIsOneSignIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key := newAuthenticator(t)
		in := h.signIn(fixture(1))
		h.enrol(in, key)
		q := h.question()
		response := key.get(q)
		var won atomic.Int64
		var wait sync.WaitGroup
		for range 64 {
			wait.Go(func() {
				switch _, err := h.answer(q, response); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, ErrPasskeyExpired):
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if sessions := h.rows(`SELECT COUNT(*) FROM sessions WHERE user_id = $1`, in.User.ID); won.Load() != 1 || sessions != 2 {
			t.Errorf("%d sign-ins, %d sessions besides the first", won.Load(), sessions-1)
		}
	})
}

// A key on one device that counts must count upwards; of many assertions with one
// counter one is good. Copies of a synchronised key may be behind.
func TestACounterThatGoesBackIsACopy(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		use := func(a *authenticator, counter uint32) error {
			a.counter = counter
			q := h.question()
			_, err := h.answer(q, a.get(q))
			return err
		}
		key := newAuthenticator(t)
		in := h.signIn(fixture(1))
		h.enrol(in, key)
		for _, counter := range []uint32{0, 5, 6, 1 << 31} { // it may begin to count later
			if err := use(key, counter); err != nil {
				t.Fatalf("counter %d: %v", counter, err)
			}
		}
		for _, counter := range []uint32{1 << 31, 6, 0} {
			if err := use(key, counter); !errors.Is(err, ErrPasskeyCloned) {
				t.Errorf("counter went back to %d: %v", counter, err)
			}
		}
		if got := h.events(in.User.ID); !slices.Equal(got[len(got)-3:], slices.Repeat([]string{"passkey.clone_suspected"}, 3)) {
			t.Errorf("on record: %v", got)
		}
		if n := h.rows(`SELECT COUNT(*) FROM sessions WHERE user_id = $1`, in.User.ID); n != 5 {
			t.Errorf("%d sessions, want 5", n)
		}

		synced := newAuthenticator(t).synced()
		h.enrol(h.signIn(fixture(2)), synced)
		for _, counter := range []uint32{7, 3, 8} {
			if err := use(synced, counter); err != nil {
				t.Errorf("a synchronised key at %d: %v", counter, err)
			}
		}

		raced := newAuthenticator(t)
		h.enrol(h.signIn(fixture(3)), raced)
		raced.counter = 9
		var won atomic.Int64
		var wait sync.WaitGroup
		for range 16 {
			q := h.question()
			response := raced.get(q)
			wait.Go(func() {
				if _, err := h.answer(q, response); err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrPasskeyCloned) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if won.Load() != 1 {
			t.Errorf("%d assertions with one counter were good", won.Load())
		}
	})
}

func TestWhoMayNotSignInByPasskey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key := newAuthenticator(t)
		in := h.signIn(fixture(1))
		h.enrol(in, key)
		ctx, id := t.Context(), in.User.ID
		try := func() error {
			q := h.question()
			_, err := h.answer(q, key.get(q))
			return err
		}
		if err := h.users.Disable(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := try(); !errors.Is(err, ErrDisabled) {
			t.Errorf("disabled: %v", err)
		}
		c, err := h.users.BeginPasskey(ctx, in.User, "s")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.FinishPasskey(ctx, in.User, By{Session: "s"}, c.State, newAuthenticator(t).create(c), ""); !errors.Is(err, ErrDisabled) {
			t.Errorf("a disabled account got a passkey: %v", err)
		}
		if err := h.users.Enable(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := try(); err != nil {
			t.Errorf("enabled again: %v", err)
		}
		if err := h.users.RemovePasskey(ctx, "somebody-else", key.credentialID(), operatorBy); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a stranger removed it: %v", err)
		}
		if err := h.users.RenamePasskey(ctx, id, key.credentialID(), "Work"); err != nil {
			t.Fatal(err)
		}
		if keys, err := h.users.Passkeys(ctx, id); err != nil || len(keys) != 1 || keys[0].Name != "Work" {
			t.Errorf("%+v, %v", keys, err)
		}
		if err := h.users.RemovePasskey(ctx, id, key.credentialID(), operatorBy); err != nil {
			t.Fatal(err)
		}
		if err := try(); !errors.Is(err, ErrPasskeyUnknown) {
			t.Errorf("removed: %v", err)
		}
		if got := h.events(id); !slices.Contains(got, "login.refused") || !slices.Equal(got[len(got)-2:], []string{"passkey.renamed", "passkey.removed"}) {
			t.Errorf("on record: %v", got)
		}

		// Whoever had the old number may have made one.
		h.enrol(in, key)
		if err := h.users.SetPhone(ctx, id, number(t, fixture(9))); err != nil {
			t.Fatal(err)
		}
		if err := try(); !errors.Is(err, ErrPasskeyUnknown) {
			t.Errorf("after an operator changed the number: %v", err)
		}
		h.enrol(in, key)
		if err := h.users.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		if n := h.rows(`SELECT COUNT(*) FROM passkeys`); n != 0 {
			t.Errorf("%d passkeys outlived their account", n)
		}
	})
}

func decode[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}
