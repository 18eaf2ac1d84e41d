package user

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// codeOf is what the app shows now, or so many steps from now.
func codeOf(t *testing.T, e Enrolment, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(e.Secret, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// wrong is a code that is none of the near ones.
func wrong(t *testing.T, e Enrolment) string {
	t.Helper()
	near := map[string]bool{}
	for step := -3; step <= 3; step++ {
		near[codeOf(t, e, step)] = true
	}
	for i := range 10 {
		if c := fmt.Sprintf("%06d", i); !near[c] {
			return c
		}
	}
	return ""
}

func (h *house) enrolTOTP(userID string) Enrolment {
	h.t.Helper()
	e, err := h.users.EnrolTOTP(h.t.Context(), userID, "id.example", "+86 138****8000")
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

func TestAnAppCountsOnceItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		ctx := t.Context()
		u := h.signIn(fixture(0)).User
		has := func() bool {
			has, _, err := h.users.HasTOTP(ctx, u.ID)
			if err != nil {
				t.Fatal(err)
			}
			return has
		}
		if _, err := h.users.ConfirmTOTP(ctx, u.ID, "123456", operatorBy); !errors.Is(err, ErrNoEnrolment) {
			t.Errorf("nothing to confirm: %v", err)
		}
		dropped, e := h.enrolTOTP(u.ID), h.enrolTOTP(u.ID)
		if !strings.HasPrefix(e.URL, "otpauth://totp/id.example:") || !strings.Contains(e.URL, "secret="+e.Secret) || len(e.Secret) != 32 {
			t.Errorf("enrolment %s", e.URL)
		}
		if text := fmt.Sprintf("%v %+v %#v %s", e, &e, e, e); strings.Contains(text, e.Secret) {
			t.Errorf("it prints as %s", text)
		}
		if err := h.users.CheckTOTP(ctx, u.ID, codeOf(t, e, 0)); !errors.Is(err, ErrFactorIncorrect) || has() {
			t.Errorf("before it is confirmed: %v", err)
		}
		if _, err := h.users.ConfirmTOTP(ctx, u.ID, codeOf(t, dropped, 0), operatorBy); !errors.Is(err, ErrFactorIncorrect) {
			t.Errorf("the enrolment that was replaced: %v", err)
		}
		codes, err := h.users.ConfirmTOTP(ctx, u.ID, codeOf(t, e, 0), operatorBy)
		if err != nil || len(codes) != 10 || !has() {
			t.Fatalf("%d codes, %v", len(codes), err)
		}
		if err := h.users.CheckTOTP(ctx, u.ID, codeOf(t, e, 0)); !errors.Is(err, ErrFactorIncorrect) {
			t.Errorf("the code that confirmed it, again: %v", err)
		}
		time.Sleep(30 * time.Second)
		// Another app: the first goes on until the second is confirmed.
		next := h.enrolTOTP(u.ID)
		if err := h.users.CheckTOTP(ctx, u.ID, codeOf(t, e, 0)); err != nil {
			t.Errorf("the old app: %v", err)
		}
		if more, err := h.users.ConfirmTOTP(ctx, u.ID, codeOf(t, next, 0), operatorBy); err != nil || more != nil {
			t.Errorf("the new app: %d codes, %v", len(more), err)
		}
		time.Sleep(30 * time.Second)
		if err := h.users.CheckTOTP(ctx, u.ID, codeOf(t, e, 0)); !errors.Is(err, ErrFactorIncorrect) {
			t.Errorf("the old app afterwards: %v", err)
		}
		if err := h.users.RemoveTOTP(ctx, u.ID, operatorBy); err != nil || has() {
			t.Errorf("removal: %v", err)
		}
		if left, err := h.users.RecoveryCodesLeft(ctx, u.ID); err != nil || left != 0 {
			t.Errorf("%d recovery codes stay, %v", left, err)
		}
		if err := h.users.CheckTOTP(ctx, u.ID, codeOf(t, next, 1)); !errors.Is(err, ErrFactorIncorrect) {
			t.Errorf("a removed app: %v", err)
		}
	})
}

func TestCodesAreGoodOnceAndForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		u := h.signIn(fixture(0)).User
		e := h.enrolTOTP(u.ID)
		if _, err := h.users.ConfirmTOTP(t.Context(), u.ID, codeOf(t, e, 0), operatorBy); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		now, earlier, later := codeOf(t, e, 0), codeOf(t, e, -1), codeOf(t, e, 1)
		for _, c := range []struct {
			code string
			want error
		}{
			{codeOf(t, e, -2), ErrFactorIncorrect}, {codeOf(t, e, 2), ErrFactorIncorrect}, {"", ErrFactorIncorrect}, {"+" + now, ErrFactorIncorrect},
			{now[:5], ErrFactorIncorrect}, {wrong(t, e), ErrFactorIncorrect},
			{earlier, nil}, {now[:3] + " " + now[3:], nil}, {now, ErrFactorIncorrect}, {earlier, ErrFactorIncorrect},
			{strings.Map(func(r rune) rune { return r - '0' + '０' }, later), nil}, {later, ErrFactorIncorrect}, {now, ErrFactorIncorrect},
		} {
			if err := h.users.CheckTOTP(t.Context(), u.ID, c.code); !errors.Is(err, c.want) {
				t.Errorf("%q: got %v, want %v", c.code, err, c.want)
			}
		}
	})
}

func TestFactorsHaveCountsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		ctx := t.Context()
		u := h.withPassword(0, "anna")
		e := h.enrolTOTP(u.ID)
		codes, err := h.users.ConfirmTOTP(ctx, u.ID, codeOf(t, e, 0), operatorBy)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for name, f := range map[string]struct {
			check func(context.Context, string, string) error
			wrong string
			right func() string
		}{
			"totp":     {h.users.CheckTOTP, wrong(t, e), func() string { return codeOf(t, e, 0) }},
			"recovery": {h.users.UseRecoveryCode, "AAAA-BBBB-CCCC-DDDD", func() string { return codes[0] }},
		} {
			var incorrect, limited atomic.Int64
			var wait sync.WaitGroup
			for range 60 {
				wait.Go(func() {
					switch err := f.check(ctx, u.ID, f.wrong); {
					case errors.Is(err, ErrFactorIncorrect):
						incorrect.Add(1)
					case errors.Is(err, ErrTooManyTries):
						limited.Add(1)
					default:
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			wait.Wait()
			if incorrect.Load() != 10 || limited.Load() != 50 {
				t.Errorf("%s: %d compared, %d sent away", name, incorrect.Load(), limited.Load())
			}
			if err := f.check(ctx, u.ID, f.right()); !errors.Is(err, ErrTooManyTries) {
				t.Errorf("%s at once: %v", name, err)
			}
			if n := h.rows(`SELECT count(*) FROM audit WHERE event = $1 AND user_id = $2`, "login."+name+"_refused", u.ID); n != 10 {
				t.Errorf("%s: %d on record", name, n)
			}
		}
		if err := h.users.CheckPassword(ctx, u.ID, goodPassword); err != nil {
			t.Errorf("the password waits too: %v", err)
		}
		time.Sleep(time.Second)
		if err := errors.Join(h.users.CheckTOTP(ctx, u.ID, codeOf(t, e, 0)), h.users.UseRecoveryCode(ctx, u.ID, codes[0])); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
}

func TestRacesForOneCodeHaveOneWinner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		e := h.enrolTOTP(u.ID)
		codes, err := h.users.ConfirmTOTP(t.Context(), u.ID, codeOf(t, e, -1), operatorBy)
		if err != nil {
			t.Fatal(err)
		}
		now := codeOf(t, e, 0)
		for name, check := range map[string]func() error{
			"totp":     func() error { return h.users.CheckTOTP(context.Background(), u.ID, now) },
			"recovery": func() error { return h.users.UseRecoveryCode(context.Background(), u.ID, codes[3]) },
		} {
			var right atomic.Int64
			var wait sync.WaitGroup
			for range 40 {
				wait.Go(func() {
					err := check()
					if err == nil {
						right.Add(1)
					} else if !errors.Is(err, ErrFactorIncorrect) && !errors.Is(err, ErrTooManyTries) {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			if right.Load() != 1 {
				t.Errorf("%s: %d right", name, right.Load())
			}
		}
	})
}

func TestRecoveryCodesAreShownOnceAndUsedOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx := t.Context()
		u, other := h.signIn(fixture(0)).User, h.signIn(fixture(1)).User
		old, err := h.users.NewRecoveryCodes(ctx, u.ID, operatorBy)
		if err != nil {
			t.Fatal(err)
		}
		codes, err := h.users.NewRecoveryCodes(ctx, u.ID, operatorBy)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, c := range codes {
			if !regexp.MustCompile(`^([A-Z2-7]{4}-){3}[A-Z2-7]{4}$`).MatchString(c) || seen[c] {
				t.Errorf("code %s", c)
			}
			seen[c] = true
		}
		for _, c := range []string{old[0], codes[0][:18], "", strings.Repeat("A", 5000)} {
			if err := h.users.UseRecoveryCode(ctx, u.ID, c); !errors.Is(err, ErrFactorIncorrect) {
				t.Errorf("%.30s: %v", c, err)
			}
		}
		if err := h.users.UseRecoveryCode(ctx, other.ID, codes[0]); !errors.Is(err, ErrFactorIncorrect) {
			t.Errorf("somebody else's: %v", err)
		}
		spell := strings.NewReplacer("O", "0", "I", "1", "B", "8")
		for i, typed := range []string{codes[0], strings.ToLower(codes[1]), strings.ReplaceAll(codes[2], "-", ""), strings.ReplaceAll(codes[3], "-", " "), spell.Replace(codes[4])} {
			if err := h.users.UseRecoveryCode(ctx, u.ID, typed); err != nil {
				t.Errorf("%s: %v", typed, err)
			}
			if err := h.users.UseRecoveryCode(ctx, u.ID, codes[i]); !errors.Is(err, ErrFactorIncorrect) {
				t.Errorf("%s again: %v", typed, err)
			}
		}
		if left, err := h.users.RecoveryCodesLeft(ctx, u.ID); err != nil || left != 5 {
			t.Errorf("%d left, %v", left, err)
		}
		if _, err := h.users.NewRecoveryCodes(ctx, "nobody", operatorBy); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("no such account: %v", err)
		}
	})
}

// Guessing goes on for no longer than a hundred codes, however patient it is; the
// owner, who is signed in, neither waits for it nor is stopped.
func TestAnAppIsNotGuessedAtForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		u, app, recovery := h.withApp(t, 0, "anna")
		key := newAuthenticator(t)
		h.enrol(h.signInKnown(fixture(0)), key)
		waiting := h.users.WaitingProofs()
		guess := func() error { return waiting.Check(t.Context(), u.ID, proofTOTP, wrong(t, app)) }
		for _, trusts := range []func() error{
			func() error { time.Sleep(time.Minute); return h.users.CheckTOTP(t.Context(), u.ID, codeOf(t, app, 0)) },
			func() error { return h.users.UseRecoveryCode(t.Context(), u.ID, recovery[0]) },
			func() error { return second(h.byKey(key)) },
			func() error { return h.users.Enable(t.Context(), u.ID) },
		} {
			for range wrongTOTP {
				if err := guess(); !errors.Is(err, ErrFactorIncorrect) {
					t.Fatal(err)
				}
				time.Sleep(failureWindow + time.Second)
			}
			if err := waiting.Check(t.Context(), u.ID, proofTOTP, codeOf(t, app, 0)); !errors.Is(err, ErrFactorStopped) {
				t.Fatalf("after %d: %v", wrongTOTP, err)
			}
			if err := trusts(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if err := waiting.Check(t.Context(), u.ID, proofTOTP, codeOf(t, app, 0)); err != nil {
				t.Errorf("after the owner came: %v", err)
			}
		}
		for range 12 {
			_ = guess()
		}
		time.Sleep(time.Minute)
		if err := h.users.CheckTOTP(t.Context(), u.ID, codeOf(t, app, 0)); err != nil {
			t.Errorf("the owner waits for a stranger: %v", err)
		}
	})
}
