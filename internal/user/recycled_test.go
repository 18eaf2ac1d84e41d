package user

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// idle makes an account that nobody has used for some days.
func (h *house) idle(phone string, days int) User {
	h.t.Helper()
	u := h.signIn(phone).User
	back := int64(days) * int64(24*time.Hour/time.Microsecond)
	for _, update := range []string{
		`UPDATE users SET created_at = created_at - $1, seen_at = seen_at - $1 WHERE id = $2`,
		`UPDATE sessions SET seen_at = seen_at - $1, expires_at = expires_at - $1 WHERE user_id = $2`,
	} {
		if _, err := h.db.Exec(context.Background(), update, back, u.ID); err != nil {
			h.t.Fatal(err)
		}
	}
	return u
}

func TestAnIdleAccountIsNotHandedToAStrangeDevice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		old := h.idle(fixture(0), 91)
		if _, err := h.users.Update(t.Context(), old.ID, map[string]any{"nickname": "Erasmus"}); err != nil {
			t.Fatal(err)
		}
		b := h.browser()
		flow, challenge := b.begin("/start?state=1", fixture(0))
		to := b.finish(flow, challenge, testCode).to(t)
		if to.Path != "/login/recycled" || b.cookie(sessionName) != "" {
			t.Fatalf("sent to %s", to)
		}
		page := b.get(to.String())
		page.wants(t, http.StatusOK, "page-recycled")
		for _, secret := range []string{"Erasmus", old.ID, "138"} {
			if strings.Contains(page.body, secret) {
				t.Errorf("the page tells %q", secret)
			}
		}
		b.post("/login/recycled", url.Values{"flow": {flow}, "decision": {"mine"}, "proof": {"password"}, "typed": {"x"}}).fault(t, http.StatusBadRequest, "invalid_request")
		b.post("/login/recycled", url.Values{"flow": {flow}}).fault(t, http.StatusBadRequest, "invalid_request")
		if to := b.post("/login/recycled", url.Values{"flow": {flow}, "decision": {"new"}}).to(t); to.Host != "rp.example" || to.Query().Get("state") != "1" {
			t.Errorf("a new account leads to %s", to)
		}
		b.get("/account").wants(t, http.StatusOK, "page-account")
		id := h.idOf(fixture(0))
		if id == "" || id == old.ID {
			t.Fatalf("the number belongs to %q", id)
		}
		kept, err := h.users.Get(t.Context(), old.ID)
		if err != nil || kept.Status != Quarantined || !kept.Phone.IsZero() || kept.FormerPhone.E164() != fixture(0) || kept.Claims["nickname"] != "Erasmus" {
			t.Errorf("the old account is %v: %v", kept.Document(), err)
		}
		if n := h.rows(`SELECT count(*) FROM sessions WHERE user_id = $1 AND ended_at IS NULL`, old.ID); n != 0 {
			t.Errorf("%d sessions of the old account live", n)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND event = 'login.refused' AND actor = 'system'`, old.ID); n != 1 {
			t.Errorf("refused %d times", n)
		}
		if in := h.signIn(fixture(0)); in.User.ID != id {
			t.Error("the next sign-in leads elsewhere")
		}
	})
}

func TestWhoUsesAnAccountKeepsIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for name, tt := range map[string]struct {
			days    int
			attempt Attempt
			then    string // what happened after the account was left
			option  Option
			held    bool
		}{
			"idle":                {91, Attempt{}, "", nil, true},
			"not long enough":     {89, Attempt{}, "", nil, false},
			"a known device":      {400, Attempt{KnownSince: func(sms.Number) time.Time { return time.Now() }}, "", nil, false},
			"a session in use":    {91, Attempt{}, `UPDATE sessions SET seen_at = $1 WHERE user_id = $2`, nil, false},
			"an app in use":       {91, Attempt{}, grantOf, nil, false},
			"vouched for":         {91, Attempt{}, `UPDATE users SET seen_at = $1 WHERE id = $2`, nil, false},
			"switched off":        {4000, Attempt{}, "", Accounts(deletionDelay, 0, quarantine), false},
			"another limit":       {4, Attempt{}, "", Accounts(deletionDelay, 3*24*time.Hour, quarantine), true},
			"the same person":     {91, Attempt{}, "", CheckRecycled(says(false, true, nil)), false},
			"another person":      {91, Attempt{}, "", CheckRecycled(says(true, true, nil)), true},
			"nobody knows":        {91, Attempt{}, "", CheckRecycled(says(false, false, nil)), true},
			"nobody answers":      {91, Attempt{}, "", CheckRecycled(says(false, true, errors.New("away"))), true},
			"not worth a request": {89, Attempt{}, "", CheckRecycled(says(true, true, nil)), false},
		} {
			Accounts(deletionDelay, recycleAfter, quarantine)(h.users)
			CheckRecycled(nil)(h.users)
			u := h.idle(fixture(0), tt.days)
			if tt.then != "" {
				if _, err := d.Exec(t.Context(), tt.then, db.Micros(time.Now()), u.ID); err != nil {
					t.Fatal(err)
				}
			}
			if tt.option != nil {
				tt.option(h.users)
			}
			proof := h.prove(fixture(0))
			in, err := h.users.SignInBySMS(t.Context(), proven(proof), tt.attempt)
			if tt.held != errors.Is(err, ErrRecycled) || !tt.held && (err != nil || in.User.ID != u.ID) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := h.users.SignInBySMS(t.Context(), proven(proof), tt.attempt); !errors.Is(err, sms.ErrCodeExpired) {
				t.Errorf("%s: the code survived: %v", name, err)
			}
			if err := h.users.Delete(t.Context(), u.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// grantOf is an app that refreshed its token.
const grantOf = `
	INSERT INTO grants (id, client_id, user_id, session_id, scope, audience, auth_time, amr, acr, salt, generation, rotated_at, created_at, expires_at)
	SELECT 'g', 'app', id, '', '', '', 1, '', '', secret_hash, 1, $1, 1, 1 FROM (SELECT u.id, s.secret_hash FROM users u JOIN sessions s ON s.user_id = u.id WHERE u.id = $2) AS u`

func says(recycled, known bool, err error) RecycledNumberCheck {
	return func(context.Context, sms.Number, time.Time) (bool, bool, error) { return recycled, known, err }
}

func TestACheckIsAskedOnceAboutTheTimeSinceTheLastUse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.idle(fixture(0), 100)
		var asked []time.Time
		CheckRecycled(func(ctx context.Context, n sms.Number, since time.Time) (bool, bool, error) {
			if n.E164() != fixture(0) || d.InTx(ctx) {
				t.Errorf("asked about %v, in a transaction: %v", n, d.InTx(ctx))
			}
			asked = append(asked, since)
			return false, true, nil
		})(h.users)
		h.signIn(fixture(0))
		h.signIn(fixture(0))
		want := time.Now().Add(-100 * 24 * time.Hour)
		if len(asked) != 1 || asked[0].Sub(want).Abs() > time.Minute {
			t.Errorf("asked about %v, want %v", asked, want)
		}
	})
}

// A sign-in is noted once a day, in its own commit.
func TestSignInsAreNotedByTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		seen := func() (us int64) {
			if err := h.db.QueryRow(t.Context(), `SELECT seen_at FROM users`).Scan(&us); err != nil {
				t.Fatal(err)
			}
			return us
		}
		first := h.signIn(fixture(0)).User.CreatedAt
		time.Sleep(time.Hour)
		h.signIn(fixture(0))
		if at := seen(); at != db.Micros(first) {
			t.Errorf("noted %v again", db.Time(at))
		}
		time.Sleep(24 * time.Hour)
		proof := h.prove(fixture(0))
		before := h.db.Counters()
		if _, err := h.users.SignInBySMS(t.Context(), proven(proof), Attempt{Browser: true, AgreementVersion: "next"}); err != nil {
			t.Fatal(err)
		}
		after := h.db.Counters()
		if after.Commits-before.Commits != 1 || after.TxStatements-before.TxStatements > 8 {
			t.Errorf("cost %d commits and %d statements", after.Commits-before.Commits, after.TxStatements-before.TxStatements)
		}
		if at := seen(); at != db.Micros(time.Now()) {
			t.Errorf("noted %v", db.Time(at))
		}
	})
}

// proofs is an account with further proofs; "right" is each of them.
type proofs []string

func (p proofs) Available(context.Context, string) ([]string, error) { return p, nil }

func (p proofs) Check(_ context.Context, _, name, typed string) error {
	if name != "totp" || typed != "right" {
		return ErrFactorIncorrect
	}
	return nil
}

func TestAFurtherProofOpensTheAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.pages.Proofs = proofs{"totp", "passkey"}
		old := h.idle(fixture(0), 91)
		b := h.browser()
		flow, challenge := b.begin("/login", fixture(0))
		page := b.get(b.finish(flow, challenge, testCode).to(t).String())
		for _, id := range []string{"prove-totp", "use-passkey", "start-anew"} {
			page.wants(t, http.StatusOK, id)
		}
		if strings.Contains(page.body, "proof-password") {
			t.Error("a proof that the account does not have is offered")
		}
		answer := func(proof, typed string) reply {
			return b.post("/login/recycled", url.Values{"flow": {flow}, "decision": {"mine"}, "proof": {proof}, "typed": {typed}})
		}
		answer("totp", "wrong").wants(t, http.StatusUnprocessableEntity, "proof-totp-error")
		answer("password", "right").fault(t, http.StatusBadRequest, "invalid_request")
		answer("passkey", "right").fault(t, http.StatusBadRequest, "invalid_request")
		if b.cookie(sessionName) != "" {
			t.Fatal("signed in without the proof")
		}
		if to := answer("totp", "right").to(t); to.Path != "/account" {
			t.Errorf("sent to %s", to)
		}
		b.get("/account").wants(t, http.StatusOK, "page-account")
		if h.idOf(fixture(0)) != old.ID || h.status(old.ID) != Active {
			t.Error("not the old account")
		}
		if in := h.signIn(fixture(0)); in.User.ID != old.ID { // it is in use again
			t.Error("asked again")
		}
	})
}

func TestOneProofMakesOneNewAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		old := h.idle(fixture(0), 91)
		wait := [2]held{h.held(fixture(0)), h.held(fixture(0))}
		var made, claimed atomic.Int64
		var group sync.WaitGroup
		for i := range 64 {
			group.Go(func() {
				how, count := h.users.startAnew, &made
				if i%4 == 0 {
					how, count = h.users.claim, &claimed
				}
				switch _, err := how(context.Background(), wait[i%2], Attempt{Browser: true}); {
				case err == nil:
					count.Add(1)
				case !errors.Is(err, ErrFlowExpired):
					t.Error(err)
				}
			})
		}
		group.Wait()
		if made.Load()+claimed.Load() != 1 {
			t.Fatalf("%d new accounts, %d claims", made.Load(), claimed.Load())
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != 1+int(made.Load()) {
			t.Errorf("%d accounts", n)
		}
		if n := h.rows(`SELECT count(*) FROM identifiers`); n != 1 {
			t.Errorf("%d identifiers", n)
		}
		if (h.idOf(fixture(0)) == old.ID) != (claimed.Load() == 1) {
			t.Error("the number belongs to the wrong account")
		}
	})
}
