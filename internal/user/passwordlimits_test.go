package user

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// elsewhere is the service as another server has it.
func (s *Service) elsewhere() *Service {
	return s.With(func(s *Service) { s.comparing = new(sync.Map) })
}

// In the bubble no time passes, so exactly the ten free places are taken.
func TestParallelGuessesShareTenPlaces(t *testing.T) {
	for name, who := range map[string]string{"an account": "anna", "nobody": "nobody"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, dbtest.Open(t))
				h.quiet()
				h.withPassword(0, "anna")
				var compared, limited atomic.Int64
				var wait sync.WaitGroup
				for i := range 100 {
					wait.Go(func() {
						_, err := h.users.elsewhere().SignInByPassword(context.Background(), who, otherPassword, Attempt{
							Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), // a hundred addresses
						})
						switch {
						case errors.Is(err, ErrCredentials):
							compared.Add(1)
						case errors.Is(err, ErrTooManyTries) && fault.From(err).RetryAfter == time.Second:
							limited.Add(1)
						default:
							t.Error(err)
						}
					})
				}
				wait.Wait()
				if compared.Load() != 10 || limited.Load() != 90 {
					t.Errorf("%d compared, %d sent away", compared.Load(), limited.Load())
				}
				if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'login.password_refused'`); n != 10 {
					t.Errorf("%d on record", n)
				}
				// The owner waits a second, and is in.
				if _, err := h.byPassword("anna", goodPassword); who == "anna" != errors.Is(err, ErrTooManyTries) {
					t.Errorf("the owner at once: %v", err)
				}
				time.Sleep(time.Second)
				if _, err := h.byPassword("anna", goodPassword); err != nil {
					t.Errorf("the owner a second later: %v", err)
				}
			})
		})
	}
}

func TestGuessesAreLimitedOnPostgres(t *testing.T) {
	if !dbtest.HasPostgres(t) {
		return
	}
	h := newHouse(t, dbtest.OpenPostgres(t))
	h.withPassword(0, "anna")
	var compared atomic.Int64
	var wait sync.WaitGroup
	start := time.Now()
	for range 49 { // the address has its own limit
		wait.Go(func() {
			_, err := h.users.elsewhere().SignInByPassword(context.Background(), "anna", otherPassword, Attempt{})
			if errors.Is(err, ErrCredentials) {
				compared.Add(1)
			} else if !errors.Is(err, ErrTooManyTries) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n, most := compared.Load(), 10+int64(time.Since(start)/time.Second); n < 10 || n > most {
		t.Errorf("%d compared, want 10 to %d", n, most)
	}
}

func TestTheDelayDoublesAndIsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		h.withPassword(0, "anna")
		address := netip.MustParseAddr("2001:db8::1")
		guess := func() error {
			block := address.As16()
			block[5]++ // another /64 each time
			address = netip.AddrFrom16(block)
			_, err := h.users.SignInByPassword(context.Background(), "anna", otherPassword, Attempt{Address: address})
			return err
		}
		for range 10 {
			if err := guess(); !errors.Is(err, ErrCredentials) {
				t.Fatal(err)
			}
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
			err := guess()
			if got := fault.From(err).RetryAfter; !errors.Is(err, ErrTooManyTries) || got != want*time.Second {
				t.Errorf("wait %v, want %v s: %v", got, int64(want), err)
			}
			if want == 900 {
				break
			}
			time.Sleep(want * time.Second)
			if err := guess(); !errors.Is(err, ErrCredentials) {
				t.Fatalf("after %d s: %v", want, err)
			}
		}
		time.Sleep(15 * time.Minute)
		if _, err := h.byPassword("anna", goodPassword); err != nil {
			t.Fatalf("the owner after the longest wait: %v", err)
		}
		for range 10 { // a success has reset the count
			if err := guess(); !errors.Is(err, ErrCredentials) {
				t.Fatal(err)
			}
		}
		time.Sleep(15 * time.Minute) // and so does time
		for range 10 {
			if err := guess(); !errors.Is(err, ErrCredentials) {
				t.Fatal(err)
			}
		}
	})
}

func TestIdentifiersOfOneAccountAreOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		h.withPassword(0, "anna")
		h.withPassword(1, "otto")
		for range 5 {
			for _, name := range []string{"anna", fixture(0)} {
				if _, err := h.byPassword(name, otherPassword); !errors.Is(err, ErrCredentials) {
					t.Fatal(err)
				}
			}
		}
		// Not even the right password is compared, and the answer does not say why.
		if _, err := h.byPassword("anna@mail.example", goodPassword); !errors.Is(err, ErrCredentials) {
			t.Errorf("the third identifier: %v", err)
		}
		if _, err := h.byPassword("otto", goodPassword); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		known := Attempt{KnownSince: func(n sms.Number) (at time.Time) {
			if n.E164() == fixture(0) {
				at = time.Now()
			}
			return at
		}}
		if _, err := h.users.SignInByPassword(t.Context(), "anna", goodPassword, known); err != nil {
			t.Errorf("the owner where they signed in before: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := h.byPassword("anna@mail.example", goodPassword); err != nil {
			t.Errorf("after the delay: %v", err)
		}
	})
}

func TestAddressesHaveALimitOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.withPassword(0, "anna")
		for i := range 60 { // who gets it right spends nothing
			if i%20 == 0 {
				if _, err := h.byPassword("anna", goodPassword); err != nil {
					t.Fatal(err)
				}
			}
			if i < 50 {
				if _, err := h.byPassword("nobody"+string(rune('a'+i%26))+string(rune('a'+i/26)), otherPassword); !errors.Is(err, ErrCredentials) {
					t.Fatal(err)
				}
			}
			if i == 49 {
				break
			}
		}
		_, err := h.byPassword("anna", goodPassword)
		if f := fault.From(err); !errors.Is(err, ErrTooManyTries) || f.RetryAfter <= 0 || f.RetryAfter > 15*time.Minute {
			t.Errorf("the fifty-first: %v", err)
		}
		if _, err := h.users.SignInByPassword(t.Context(), "anna", goodPassword, Attempt{Address: netip.MustParseAddr("203.0.113.9")}); err != nil {
			t.Errorf("another address: %v", err)
		}
	})
}

func TestWithoutAStoreNobodySignsInByPassword(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	h.withPassword(0, "anna")
	h.users = h.users.With(Limits(nil))
	if _, err := h.byPassword("anna", goodPassword); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

// A stranger's guesses keep nobody waiting who is signed in, and a new password ends
// every count.
func TestAStrangersGuessesDoNotStopTheOwner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		for range 12 {
			if _, err := h.byPassword("anna", otherPassword); err == nil {
				t.Fatal("signed in")
			}
		}
		if err := h.users.CheckPassword(t.Context(), u.ID, goodPassword); err != nil {
			t.Errorf("the owner: %v", err)
		}
		for range 11 {
			_ = h.users.CheckPassword(t.Context(), u.ID, otherPassword)
		}
		if err := h.users.SetPassword(t.Context(), u.ID, otherPassword, operatorBy); err != nil {
			t.Fatal(err)
		}
		if err := h.users.CheckPassword(t.Context(), u.ID, otherPassword); err != nil {
			t.Errorf("a new password: %v", err)
		}
	})
}

func TestCheckPasswordCountsLikeASignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		u := h.withPassword(0, "anna")
		without := h.signIn(fixture(1)).User
		if err := h.users.CheckPassword(t.Context(), without.ID, ""); !errors.Is(err, ErrCredentials) {
			t.Errorf("without a password: %v", err)
		}
		for range 2 {
			for range 10 {
				if err := h.users.CheckPassword(t.Context(), u.ID, otherPassword); !errors.Is(err, ErrCredentials) {
					t.Fatal(err)
				}
			}
			if err := h.users.CheckPassword(t.Context(), u.ID, goodPassword); !errors.Is(err, ErrTooManyTries) {
				t.Errorf("the eleventh: %v", err)
			}
			time.Sleep(time.Second)
			if err := h.users.CheckPassword(t.Context(), u.ID, goodPassword); err != nil {
				t.Fatal(err)
			}
		}
		if in := h.signIn(fixture(0)); in.Created {
			t.Error("wrong passwords stopped the sign-in by SMS")
		}
	})
}
