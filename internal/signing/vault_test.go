package signing_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
)

func openVault(t testing.TB, d *db.DB, masters ...[]byte) *signing.Vault {
	t.Helper()
	v, err := signing.OpenVault(t.Context(), d, masters)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedValuesOpenOnlyWhereTheyBelong(t *testing.T) {
	d := dbtest.Open(t)
	master := signing.GenerateMaster()
	v := openVault(t, d, master)
	sealed := v.Seal("number", []byte("plaintext"), []byte("row 1"))

	if got, err := v.Open("number", sealed, []byte("row 1")); err != nil || string(got) != "plaintext" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	if bytes.Equal(sealed, v.Seal("number", []byte("plaintext"), []byte("row 1"))) {
		t.Error("sealing twice gave the same bytes")
	}
	if bytes.Contains(sealed, []byte("plaintext")) || bytes.Contains(sealed, master[:4]) {
		t.Error("the sealed value shows plaintext or master")
	}
	if _, err := v.Open("code", sealed, []byte("row 1")); !errors.Is(err, signing.ErrOpen) {
		t.Errorf("another label: %v", err)
	}
	if _, err := v.Open("number", sealed, []byte("row 2")); !errors.Is(err, signing.ErrOpen) {
		t.Errorf("another aad: %v", err)
	}
	if _, err := v.Open("number", sealed, nil); !errors.Is(err, signing.ErrOpen) {
		t.Errorf("no aad: %v", err)
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := v.Open("number", altered, []byte("row 1")); !errors.Is(err, signing.ErrOpen) {
			t.Errorf("byte %d altered: %v", i, err)
		}
		if _, err := v.Open("number", sealed[:i], []byte("row 1")); !errors.Is(err, signing.ErrOpen) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestSealOpenRoundTrip(t *testing.T) {
	v := openVault(t, dbtest.Open(t), signing.GenerateMaster())
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		aad := rapid.SliceOf(rapid.Byte()).Draw(t, "aad")
		got, err := v.Open("x", v.Seal("x", plaintext, aad), aad)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("Open = %x, %v", got, err)
		}
	})
}

// Two lists of fields have the same MAC only if they are the same list.
func TestMACFramesItsFields(t *testing.T) {
	v := openVault(t, dbtest.Open(t), signing.GenerateMaster())
	fields := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange('a', 'b'), 0, 3), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		a, b := fields.Draw(t, "a"), fields.Draw(t, "b")
		if got, want := v.VerifyMAC("x", v.MAC("x", a...), b...), equalFields(a, b); got != want {
			t.Fatalf("VerifyMAC(MAC(%q), %q) = %v", a, b, got)
		}
	})
	// A field cannot imitate the framing of two.
	framed := append([]byte("a"), binary.BigEndian.AppendUint64(nil, 1)...)
	if v.VerifyMAC("x", v.MAC("x", append(framed, 'b')), []byte("a"), []byte("b")) {
		t.Error("a field with a length inside passed for two fields")
	}
}

func equalFields(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestMACRefusesWhatItDidNotMake(t *testing.T) {
	v := openVault(t, dbtest.Open(t), signing.GenerateMaster())
	mac := v.MAC("code", []byte("123456"))
	if len(mac) != 36 {
		t.Errorf("a MAC has %d bytes", len(mac))
	}
	if !v.VerifyMAC("code", mac, []byte("123456")) {
		t.Error("own MAC refused")
	}
	if v.VerifyMAC("refresh", mac, []byte("123456")) {
		t.Error("a MAC of another label passed")
	}
	for _, bad := range [][]byte{nil, {}, mac[:4], mac[:35], append(bytes.Clone(mac), 0), make([]byte, 36)} {
		if v.VerifyMAC("code", bad, []byte("123456")) {
			t.Errorf("%x passed", bad)
		}
	}
}

func TestKeysDifferByLabelAndUse(t *testing.T) {
	v := openVault(t, dbtest.Open(t), signing.GenerateMaster())
	value := []byte("+8613800138000")
	seen := map[string]string{}
	for name, out := range map[string][]byte{
		"mac a": v.MAC("a", value)[4:], "mac b": v.MAC("b", value)[4:],
		"index a": v.Index("a", value), "index b": v.Index("b", value),
	} {
		if len(out) != 32 {
			t.Errorf("%s has %d bytes", name, len(out))
		}
		if other, ok := seen[string(out)]; ok {
			t.Errorf("%s and %s are equal", name, other)
		}
		seen[string(out)] = name
	}
}

func TestMastersRotateAndTheIndexStays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		first, second := signing.GenerateMaster(), signing.GenerateMaster()
		old := openVault(t, d, first)
		sealed, mac, index := old.Seal("x", []byte("v"), nil), old.MAC("x", []byte("v")), old.Index("x", []byte("v"))

		// Round one: the new secret is known everywhere and used nowhere.
		both := openVault(t, d, first, second)
		// Round two: the new secret is current.
		now := openVault(t, d, second, first)
		for name, v := range map[string]*signing.Vault{"known": both, "current": now} {
			if got, err := v.Open("x", sealed, nil); err != nil || string(got) != "v" {
				t.Errorf("%s: Open = %q, %v", name, got, err)
			}
			if !v.VerifyMAC("x", mac, []byte("v")) {
				t.Errorf("%s: old MAC refused", name)
			}
			if !bytes.Equal(v.Index("x", []byte("v")), index) {
				t.Errorf("%s: the index changed", name)
			}
		}
		if !both.Current(sealed) || now.Current(sealed) || now.Current(nil) {
			t.Error("Current is wrong about what the first master sealed")
		}
		if got, err := both.Open("x", now.Seal("x", []byte("w"), nil), nil); err != nil || string(got) != "w" {
			t.Errorf("a replica of round one cannot open what one of round two sealed: %q, %v", got, err)
		}
		// The index key was sealed anew, so the old secret may go now.
		alone := openVault(t, d, second)
		if !bytes.Equal(alone.Index("x", []byte("v")), index) {
			t.Error("the index changed when the old master went")
		}
		if _, err := alone.Open("x", sealed, nil); !errors.Is(err, signing.ErrOpen) {
			t.Errorf("opened without its master: %v", err)
		}
	})
}

func TestWrongMasterIsRefused(t *testing.T) {
	d := dbtest.Open(t)
	openVault(t, d, signing.GenerateMaster())
	if _, err := signing.OpenVault(t.Context(), d, [][]byte{signing.GenerateMaster()}); !errors.Is(err, signing.ErrWrongMaster) {
		t.Errorf("OpenVault = %v", err)
	}
}

func TestMastersAreChecked(t *testing.T) {
	d := dbtest.Open(t)
	good := signing.GenerateMaster()
	for name, masters := range map[string][][]byte{
		"none":      nil,
		"short":     {good[:31]},
		"short old": {good, good[:31]},
		"twice":     {good, good},
	} {
		if v, err := signing.OpenVault(t.Context(), d, masters); err == nil || v != nil {
			t.Errorf("%s: no error", name)
		} else if bytes.Contains([]byte(err.Error()), good[:8]) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}

// Replicas that start at once on an empty database get one index key.
func TestIndexKeyIsCreatedOnce(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		master := signing.GenerateMaster()
		handles := []*db.DB{dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)}
		var wait sync.WaitGroup
		indexes := make([][]byte, 20)
		errs := make([]error, len(indexes))
		for i := range indexes {
			wait.Go(func() {
				v, err := signing.OpenVault(t.Context(), handles[i%2], [][]byte{master})
				if errs[i] = err; err == nil {
					indexes[i] = v.Index("x", []byte("v"))
				}
			})
		}
		wait.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for i := range indexes {
			if !bytes.Equal(indexes[i], indexes[0]) {
				t.Fatalf("vault %d has another index key", i)
			}
		}
	})
}

func TestVaultIsSafeForManyGoroutines(t *testing.T) {
	v := openVault(t, dbtest.Open(t), signing.GenerateMaster())
	labels := []string{"a", "b", "c", "d"}
	var wait sync.WaitGroup
	for i := range 64 {
		wait.Go(func() {
			label, value := labels[i%len(labels)], []byte{byte(i)}
			for range 50 {
				if got, err := v.Open(label, v.Seal(label, value, nil), nil); err != nil || !bytes.Equal(got, value) {
					t.Errorf("Open = %x, %v", got, err)
				}
				if !v.VerifyMAC(label, v.MAC(label, value), value) {
					t.Error("MAC refused")
				}
				if !bytes.Equal(v.Index(label, value), v.Index(label, value)) {
					t.Error("Index differs")
				}
			}
		})
	}
	wait.Wait()
}

func BenchmarkVault(b *testing.B) {
	v := openVault(b, dbtest.Open(b), signing.GenerateMaster())
	value, aad := bytes.Repeat([]byte("v"), 200), []byte("aad")
	sealed, mac := v.Seal("x", value, aad), v.MAC("x", value)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"Seal", func() { v.Seal("x", value, aad) }},
		{"Open", func() { _, _ = v.Open("x", sealed, aad) }},
		{"MAC", func() { v.MAC("x", value) }},
		{"VerifyMAC", func() { v.VerifyMAC("x", mac, value) }},
		{"Index", func() { v.Index("x", value[:14]) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.run()
			}
		})
	}
}
