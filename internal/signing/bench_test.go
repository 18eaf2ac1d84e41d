package signing_test

import (
	"testing"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
)

func BenchmarkRing(b *testing.B) {
	d := dbtest.Open(b)
	r := openRing(b, d, openVault(b, d, signing.GenerateMaster()), eager)
	for _, alg := range signing.Algorithms() {
		b.Run("Sign/"+string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Sign(alg, "at+jwt", claims); err != nil {
					b.Fatal(err)
				}
			}
		})
		token := sign(b, r, alg)
		b.Run("Verify/"+string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A warm start parses every key that is kept.
func BenchmarkOpenRing(b *testing.B) {
	d := dbtest.Open(b)
	v := openVault(b, d, signing.GenerateMaster())
	r := openRing(b, d, v, eager)
	for _, alg := range signing.Algorithms() {
		if err := r.Rotate(b.Context(), alg); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		openRing(b, d, v, eager)
	}
}
