package client

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// With every turn at argon2id taken, a check is answered from memory or not at all.
func TestSlowSecretsQueueAndAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := signing.OpenVault(t.Context(), dbtest.Open(t), [][]byte{bytes.Repeat([]byte{7}, 32)})
		if err != nil {
			t.Fatal(err)
		}
		s := newSecrets(v)
		hash, err := s.hash(t.Context(), "weak", "short-secret")
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, want error) {
			t.Helper()
			start := time.Now()
			match, err := s.matches(t.Context(), "weak", hash, "short-secret", nil)
			if !errors.Is(err, want) || match != (want == nil) {
				t.Errorf("%s: %v, %v, want %v", what, match, err, want)
			}
			if took := time.Since(start); took > slowWait {
				t.Errorf("%s: answered after %v", what, took)
			}
		}
		check("first", nil)
		for range slowAtOnce {
			s.turns <- struct{}{}
		}
		check("remembered", nil)
		time.Sleep(provenFor + time.Second)
		check("no longer remembered", fault.Unavailable)
		s.done()
		check("with a turn", nil)
		s.turns <- struct{}{}
		check("remembered again", nil)
	})
}
