package user

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// byKey signs in with a passkey.
func (h *house) byKey(key *authenticator) (SignedIn, error) {
	h.t.Helper()
	q := h.question()
	return h.answer(q, key.get(q))
}

func TestAClosingAccountIsKeptByItsPasskey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		key := newAuthenticator(t)
		h.enrol(h.signIn(fixture(0)), key)
		if _, err := h.users.RequestDeletion(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		if in, err := h.byPassword("anna", goodPassword); !errors.Is(err, ErrClosing) || in.Session.ID != "" {
			t.Errorf("by password: %v, %v", in.Session.ID, err)
		}
		if in, err := h.byKey(key); !errors.Is(err, ErrClosing) || in.Session.ID != "" {
			t.Errorf("by passkey: %v, %v", in.Session.ID, err)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'login.refused' AND user_id = $1 AND detail LIKE '%account_closing%'`, u.ID); n != 2 {
			t.Errorf("%d refusals on record", n)
		}

		b := h.browser()
		flow := b.get("/login").to(t).Query().Get("flow")
		q := b.asked("/login/passkey/options", url.Values{"flow": {flow}})
		held := b.post("/login/passkey", url.Values{"flow": {flow}, "state": {q.State}, "response": {string(key.get(q))}, "agree": {"1"}}).to(t)
		if held.Path != "/login/closing" || h.status(u.ID) != Closing {
			t.Fatalf("led to %s, the account is %s", held, h.status(u.ID))
		}
		b.get(held.String()).wants(t, http.StatusOK, "keep-account")
		b.post("/login/closing", url.Values{"flow": {flow}}).to(t)
		s, kept := h.mustSession(b)
		if kept.ID != u.ID || h.status(u.ID) != Active || !slices.Equal(s.AMR, amrPasskey(false)) || s.ACR != ACRPasskey {
			t.Errorf("kept %v as %s by %v %s", kept, h.status(u.ID), s.AMR, s.ACR)
		}
	})
}

// Whoever has no number takes it back by what they sign in with.
func TestAClosingAccountWithoutANumberIsKept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		key := newAuthenticator(t)
		h.enrol(h.signIn(fixture(0)), key)
		if _, err := h.users.ReleaseNumber(t.Context(), u.Phone); err != nil {
			t.Fatal(err)
		}
		if in, err := h.byKey(key); err != nil || in.User.ID != u.ID {
			t.Fatalf("not readmitted: %v", err)
		}
		b := h.browser()
		for name, signIn := range map[string]func() (reply, string){
			"passkey": func() (reply, string) {
				flow := b.get("/login").to(t).Query().Get("flow")
				q := b.asked("/login/passkey/options", url.Values{"flow": {flow}})
				return b.post("/login/passkey", url.Values{"flow": {flow}, "state": {q.State}, "response": {string(key.get(q))}, "agree": {"1"}}), flow
			},
			"password": func() (reply, string) {
				flow := b.openPassword("/login")
				return b.byPassword(flow, "anna", goodPassword), flow
			},
		} {
			if _, err := h.users.RequestDeletion(t.Context(), u.ID); err != nil {
				t.Fatal(err)
			}
			held, flow := signIn()
			if to := held.to(t); to.Path != "/login/closing" {
				t.Fatalf("%s: led to %s", name, to)
			}
			b.post("/login/closing", url.Values{"flow": {flow}}).to(t)
			if _, kept := h.mustSession(b); kept.ID != u.ID || h.status(u.ID) != Active {
				t.Errorf("%s: kept %v as %s", name, kept, h.status(u.ID))
			}
		}
	})
}

func TestAQuarantinedAccountIsReadmittedByAnotherProof(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for name, signIn := range map[string]func(*house, *authenticator) (SignedIn, error){
			"password": func(h *house, _ *authenticator) (SignedIn, error) { return h.byPassword("anna", goodPassword) },
			"passkey":  func(h *house, key *authenticator) (SignedIn, error) { return h.byKey(key) },
		} {
			h := newHouse(t, d)
			u := h.withPassword(0, "anna")
			key := newAuthenticator(t)
			h.enrol(h.signIn(fixture(0)), key)
			if _, err := h.users.ReleaseNumber(t.Context(), u.Phone); err != nil {
				t.Fatal(err)
			}
			if in, err := h.byPassword("anna", otherPassword); !errors.Is(err, ErrCredentials) || in.Session.ID != "" || h.status(u.ID) != Quarantined {
				t.Errorf("%s: a wrong password made it %s, %v", name, h.status(u.ID), err)
			}
			in, err := signIn(h, key)
			if err != nil || in.User.ID != u.ID || in.User.Status != Active || !in.User.Phone.IsZero() {
				t.Fatalf("%s: %v, %v", name, in.User, err)
			}
			if _, _, err := h.users.SessionOf(with(in.Secret)); err != nil || h.status(u.ID) != Active {
				t.Errorf("%s: the account is %s, %v", name, h.status(u.ID), err)
			}
			if n := h.rows(`SELECT count(*) FROM former_numbers`); n != 0 {
				t.Errorf("%s: %d former numbers left", name, n)
			}
			if err := h.users.Delete(t.Context(), u.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What an idle account has besides its number is asked for by name.
func TestOwnProofsAreWhatAnAccountHas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, bare := h.withPassword(0, "anna"), h.signIn(fixture(1))
		app := h.enrolTOTP(u.ID)
		if has, err := h.users.OwnProofs().Available(t.Context(), u.ID); err != nil || !slices.Equal(has, []string{proofPassword}) {
			t.Errorf("an app that waits made it %v, %v", has, err)
		}
		if _, err := h.users.ConfirmTOTP(t.Context(), u.ID, codeOf(t, app, 0), operatorBy); err != nil {
			t.Fatal(err)
		}
		h.enrol(h.signInKnown(fixture(0)), newAuthenticator(t))
		own := h.users.OwnProofs()
		if has, err := own.Available(t.Context(), bare.User.ID); err != nil || len(has) != 0 {
			t.Errorf("a bare account has %v, %v", has, err)
		}
		if has, err := own.Available(t.Context(), u.ID); err != nil || !slices.Equal(has, []string{proofPassword, proofTOTP, proofRecovery, proofPasskey}) {
			t.Errorf("has %v, %v", has, err)
		}
		if err := own.Check(t.Context(), u.ID, proofPassword, goodPassword); err != nil {
			t.Error(err)
		}
		for name, want := range map[string]error{proofPassword: ErrCredentials, proofTOTP: ErrFactorIncorrect, proofRecovery: ErrFactorIncorrect} {
			if err := own.Check(t.Context(), u.ID, name, "wrong"); !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := own.Check(t.Context(), u.ID, proofPasskey, ""); err == nil {
			t.Error("nothing was a passkey")
		}
	})
}
