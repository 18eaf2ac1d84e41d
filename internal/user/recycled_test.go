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

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
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
			"a known device":      {400, Attempt{KnownDevice: true}, "", nil, false},
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
			in, err := h.users.SignInBySMS(t.Context(), proof, tt.attempt)
			if tt.held != errors.Is(err, ErrRecycled) || !tt.held && (err != nil || in.User.ID != u.ID) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := h.users.SignInBySMS(t.Context(), proof, tt.attempt); !errors.Is(err, sms.ErrCodeExpired) {
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
		if _, err := h.users.SignInBySMS(t.Context(), proof, Attempt{Browser: true, AgreementVersion: "next"}); err != nil {
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
		return errWrongProof
	}
	return nil
}

var errWrongProof = fault.New(http.StatusUnprocessableEntity, "code_incorrect", "wrong")

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
		answer("totp", "wrong").wants(t, http.StatusUnprocessableEntity, "page-recycled")
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

func TestAnOperatorReleasesANumberAndRestoresItsAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx := t.Context()
		in := h.signIn(fixture(0))
		u, err := h.users.ReleaseNumber(ctx, in.User.Phone)
		if err != nil || u.ID != in.User.ID || u.Status != Quarantined || u.ClosesAt.IsZero() || !u.Phone.IsZero() {
			t.Fatalf("released: %v, %v", u.Document(), err)
		}
		if _, err := h.users.ReleaseNumber(ctx, in.User.Phone); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a second time: %v", err)
		}
		if _, _, err := h.users.SessionOf(with(in.Secret)); !isNotFound(err) {
			t.Errorf("the session lives: %v", err)
		}
		next := h.signIn(fixture(0))
		if !next.Created || next.User.ID == u.ID {
			t.Error("the number leads to the account before")
		}
		for filter, want := range map[Filter]string{
			{Status: Quarantined}: u.ID, {Former: in.User.Phone}: u.ID, {Status: Active}: next.User.ID,
			{Former: number(t, fixture(7))}: "", {Status: Active, Former: in.User.Phone}: "",
		} {
			if list, err := h.users.ListOf(ctx, filter, "", 10); err != nil || strings.Join(ids(list), " ") != want {
				t.Errorf("%v lists %v, %v", filter, ids(list), err)
			}
		}
		if err := h.users.SetPhone(ctx, u.ID, in.User.Phone); !errors.Is(err, db.ErrConflict) {
			t.Errorf("restored with somebody else's number: %v", err)
		}
		if err := h.users.SetPhone(ctx, u.ID, number(t, fixture(1))); err != nil {
			t.Fatal(err)
		}
		back, err := h.users.Get(ctx, u.ID)
		if err != nil || back.Status != Active || !back.ClosesAt.IsZero() || !back.FormerPhone.IsZero() {
			t.Errorf("restored: %v, %v", back.Document(), err)
		}
		if again := h.signIn(fixture(1)); again.User.ID != u.ID {
			t.Error("the owner is not back")
		}
	})
}

// An operator vouches for the number that they set, however long ago the last
// sign-in was.
func TestARestoredAccountOpensByItsNewNumber(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		old := h.idle(fixture(0), 200)
		if _, err := h.users.ReleaseNumber(t.Context(), old.Phone); err != nil {
			t.Fatal(err)
		}
		if err := h.users.SetPhone(t.Context(), old.ID, number(t, fixture(1))); err != nil {
			t.Fatal(err)
		}
		if in := h.signIn(fixture(1)); in.User.ID != old.ID {
			t.Error("somebody else")
		}
	})
}

func TestReleasingKeepsWhatStandsAgainstAnAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		disabled, closing := h.signIn(fixture(0)).User, h.signIn(fixture(1)).User
		if err := h.users.Disable(t.Context(), disabled.ID); err != nil {
			t.Fatal(err)
		}
		due, err := h.users.RequestDeletion(t.Context(), closing.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []sms.Number{disabled.Phone, closing.Phone} {
			if _, err := h.users.ReleaseNumber(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		if h.status(disabled.ID) != Disabled || h.status(closing.ID) != Closing {
			t.Errorf("now %s and %s", h.status(disabled.ID), h.status(closing.ID))
		}
		if n, err := h.users.EraseDue(t.Context(), due); n != 1 || err != nil {
			t.Errorf("erased %d, %v", n, err)
		}
		if err := h.users.SetPhone(t.Context(), disabled.ID, disabled.Phone); err != nil || h.status(disabled.ID) != Disabled {
			t.Errorf("set-phone made it %s, %v", h.status(disabled.ID), err)
		}
	})
}

func TestQuarantineEndsByAProofOrByErasure(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		back, gone := h.signIn(fixture(0)).User, h.signIn(fixture(1)).User
		for _, u := range []User{back, gone} {
			if _, err := h.users.ReleaseNumber(t.Context(), u.Phone); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []bool{true, false} {
			if ok, err := h.users.readmit(t.Context(), back.ID, time.Now()); ok != want || err != nil {
				t.Errorf("readmitted: %v, %v", ok, err)
			}
		}
		if n, err := h.users.EraseDue(t.Context(), time.Now().Add(quarantine-time.Minute)); n != 0 || err != nil {
			t.Errorf("erased %d too early, %v", n, err)
		}
		if n, err := h.users.EraseDue(t.Context(), time.Now().Add(quarantine)); n != 1 || err != nil {
			t.Errorf("erased %d, %v", n, err)
		}
		if h.status(back.ID) != Active || h.status(gone.ID) != "" {
			t.Errorf("now %q and %q", h.status(back.ID), h.status(gone.ID))
		}
		if n := h.rows(`SELECT count(*) FROM former_numbers`); n != 0 {
			t.Errorf("%d former numbers left", n)
		}
	})
}

func TestFormerNumbersAreResealed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		if _, err := h.users.ReleaseNumber(t.Context(), u.Phone); err != nil {
			t.Fatal(err)
		}
		h.signIn(fixture(0))
		older := []byte("a master secret for tests, long enough")
		newer := []byte("another master secret, long enough as well")
		vault, err := signing.OpenVault(t.Context(), d, [][]byte{newer, older})
		if err != nil {
			t.Fatal(err)
		}
		users := New(d, vault, audit.New(d))
		for _, want := range []int64{2, 0} {
			if n, err := users.Reseal(t.Context()); n != want || err != nil {
				t.Errorf("resealed %d, want %d, %v", n, want, err)
			}
		}
		if again, err := users.Get(t.Context(), u.ID); err != nil || again.FormerPhone != u.Phone {
			t.Errorf("the former number is %v, %v", again.FormerPhone, err)
		}
	})
}

// The largest flow that starts is still a cookie once a decision waits in it.
func TestAHeldFlowFitsACookie(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	h.idle(fixture(0), 91)
	size := 1
	for at := 2048; at > 0; at /= 2 { // the longest request that is taken
		if r := h.browser().get("/start?" + strings.Repeat("a", size+at)); r.status == http.StatusSeeOther {
			size += at
		}
	}
	b := h.browser()
	flow, challenge := b.begin("/start?"+strings.Repeat("a", size), fixture(0))
	b.finish(flow, challenge, testCode).to(t)
	if n := len(flowPrefix+flow) + len(b.cookie(flowPrefix+flow)); n > 4096 || size < 1000 {
		t.Errorf("the cookie has %d bytes for a request of %d", n, size)
	}
	if to := b.post("/login/recycled", url.Values{"flow": {flow}, "decision": {"new"}}).to(t); to.Host != "rp.example" {
		t.Errorf("sent to %s", to)
	}
}
