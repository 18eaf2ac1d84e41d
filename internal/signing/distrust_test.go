package signing_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// A key that somebody else may have is gone at once, on every replica.
func TestDistrustedKeysVerifyNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		v := openVault(t, d, signing.GenerateMaster())
		r, other := openRing(t, d, v, eager), openRing(t, d, v, eager)
		old := sign(t, r, signing.ES256)
		if err := r.RotateNow(t.Context(), signing.ES256); err != nil {
			t.Fatal(err)
		}
		leaked, elsewhere := sign(t, r, signing.ES256), sign(t, r, signing.EdDSA)
		id := activeKey(t, r, signing.ES256)
		if err := r.Distrust(t.Context(), signing.ES256); err != nil {
			t.Fatal(err)
		}
		if err := other.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, ring := range []*signing.Ring{r, other} {
			for _, token := range []string{old, leaked} {
				if _, err := ring.Verify(token); !errors.Is(err, signing.ErrInvalidToken) {
					t.Errorf("verifies: %v", err)
				}
				if _, err := ring.VerifyHint(token); !errors.Is(err, signing.ErrInvalidToken) {
					t.Errorf("a hint: %v", err)
				}
			}
			if slices.Contains(publishedIDs(t, ring), id) || ring.Knows(id) {
				t.Error("still published or known")
			}
			for _, token := range []string{elsewhere, sign(t, ring, signing.ES256)} {
				if _, err := ring.Verify(token); err != nil {
					t.Errorf("a key that is not meant: %v", err)
				}
			}
		}
	})
}
