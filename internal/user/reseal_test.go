package user

import (
	"bytes"
	"testing"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// A new master secret goes in front; after Reseal the old one is not needed: the
// person is found by number and their number can be read.
func TestResealLetsTheOldMasterGo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx := t.Context()
		before, after := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
		with := func(masters ...[]byte) *Service {
			v, err := signing.OpenVault(ctx, d, masters)
			if err != nil {
				t.Fatal(err)
			}
			return New(d, v, audit.New(d))
		}
		n, err := sms.FromE164("+8613800138000")
		if err != nil {
			t.Fatal(err)
		}
		made, err := with(before).Create(ctx, n, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := with(before).SetUsername(ctx, made.ID, "anna", operatorBy); err != nil {
			t.Fatal(err)
		}
		app, err := with(before).EnrolTOTP(ctx, made.ID, "id.example", "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := with(before).ConfirmTOTP(ctx, made.ID, codeOf(t, app, -1), operatorBy); err != nil {
			t.Fatal(err)
		}
		if _, err := with(before).EnrolTOTP(ctx, made.ID, "id.example", "x"); err != nil {
			t.Fatal(err)
		}
		both := with(after, before)
		for _, want := range []int64{4, 0} { // number, name, app and the app that waits
			if got, err := both.Reseal(ctx); err != nil || got != want {
				t.Fatalf("resealed %d, %v; want %d", got, err, want)
			}
		}
		u, err := with(after).FindByNumber(ctx, n)
		if err != nil || u.Phone != n {
			t.Fatalf("without the old master: %v", err)
		}
		if err := with(after).CheckTOTP(ctx, u.ID, codeOf(t, app, 0)); err != nil {
			t.Errorf("the app without the old master: %v", err)
		}
	})
}

// What opens under no secret stays as it is; what stands behind it is resealed.
func TestResealGoesOnAfterWhatDoesNotOpen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx := t.Context()
		before, after := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
		with := func(masters ...[]byte) *Service {
			v, err := signing.OpenVault(ctx, d, masters)
			if err != nil {
				t.Fatal(err)
			}
			return New(d, v, audit.New(d))
		}
		old := with(before)
		for i := range 3 {
			u, err := old.Create(ctx, number(t, fixture(i)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := old.EnrolTOTP(ctx, u.ID, "id.example", "x"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Exec(ctx, `UPDATE identifiers SET sealed = $1 WHERE user_id = (SELECT MIN(user_id) FROM identifiers)`, []byte("torn")); err != nil {
			t.Fatal(err)
		}
		if n, err := with(after, before).Reseal(ctx); n != 5 || err == nil {
			t.Errorf("resealed %d, %v", n, err)
		}
	})
}
