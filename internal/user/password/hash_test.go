package password

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// vectors were made by others: Python's hashlib (PBKDF2), libxcrypt (bcrypt), and
// the test program of the Argon2 reference implementation.
var vectors = []struct{ name, hash, password string }{
	{"pbkdf2", "pbkdf2_sha256$1000$seasalt$DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww=", "correct horse battery"},
	{"pbkdf2 beyond ASCII", "pbkdf2_sha256$600$NaCl2025xyzABC$nmvaZcr5wNiUHyLO3Bl5DTXIUVv4qZIC3Y2UFiBDHTg=", "密码密码密码密码"},
	{"bcrypt 2a", "$2a$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "correct horse battery"},
	{"bcrypt 2b", "$2b$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "correct horse battery"},
	{"bcrypt 2y", "$2y$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "correct horse battery"},
	{"bcrypt beyond ASCII", "$2b$04$abcdefghijklmnopqrstuuuXeXRzUYpcIlgT3mT4YLDA0ZY2PrPOe", "密码密码密码密码"},
	{"bcrypt of Django", "bcrypt$$2b$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "correct horse battery"},
	{"bcrypt_sha256 of Django", "bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuuGcuILa2E37uJs3NexF6McyNsliG6nJW", "correct horse battery"},
	{"bcrypt_sha256 of a long one", "bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuu6KchawGWtOenbxP9toGotT8GgP7Q7be", strings.Repeat("x", 100)},
	{"argon2id", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
	{"argon2id of Django", "argon2$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
}

func TestOtherSystemsHashesVerify(t *testing.T) {
	h := NewHasher(0)
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			if err := Importable(v.hash); err != nil {
				t.Fatal(err)
			}
			if ok, err := h.Verify(t.Context(), v.hash, v.password); !ok || err != nil {
				t.Errorf("the right password: %v, %v", ok, err)
			}
			for _, wrong := range []string{"", v.password + " ", v.password[:len(v.password)-1], strings.ToUpper(v.password) + "x"} {
				if ok, err := h.Verify(t.Context(), v.hash, wrong); ok || err != nil {
					t.Errorf("%q: %v, %v", wrong, ok, err)
				}
			}
			if !NeedsRehash(v.hash) {
				t.Error("it may stay")
			}
		})
	}
}

func TestOurHashesVerifyAndStay(t *testing.T) {
	h := NewHasher(0)
	for _, p := range []string{"x7#kQ2mv", "nul\x00inside", "not \xff UTF-8", strings.Repeat("ä", 128), " blanks "} {
		hash, err := h.Hash(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := h.Hash(t.Context(), p)
		if err != nil || hash == again {
			t.Errorf("the same hash twice, %v", err)
		}
		if ok, err := h.Verify(t.Context(), hash, p); !ok || err != nil || NeedsRehash(hash) {
			t.Errorf("%q: %v, %v, rehash %v", p, ok, err, NeedsRehash(hash))
		}
		if ok, _ := h.Verify(t.Context(), hash, p+"\x00"); ok {
			t.Errorf("%q and a NUL match", p)
		}
	}
}

// The composed and the decomposed form look the same and are two passwords.
func TestPasswordsAreTakenAsTyped(t *testing.T) {
	h := NewHasher(0)
	hash, err := h.Hash(t.Context(), "caf\u00e9-7k#vq")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := h.Verify(t.Context(), hash, "cafe\u0301-7k#vq"); ok {
		t.Error("the decomposed form matches the composed one")
	}
}

func TestNoByteIsIgnored(t *testing.T) {
	h := NewHasher(0)
	long := strings.Repeat("0123456789", 7) + "ab" // 72 bytes
	hash, err := h.Hash(t.Context(), long+"c")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := h.Verify(t.Context(), hash, long+"d"); ok {
		t.Error("byte 73 does not matter")
	}
	// bcrypt cannot tell them apart, so neither is accepted.
	const of72 = "$2b$04$abcdefghijklmnopqrstuuuXeXRzUYpcIlgT3mT4YLDA0ZY2PrPOe"
	for _, p := range []string{long + "c", "密码密码密码密码" + strings.Repeat("x", 72)} {
		if ok, err := h.Verify(t.Context(), of72, p); ok || err != nil {
			t.Errorf("bcrypt of %d bytes: %v, %v", len(p), ok, err)
		}
	}
	if ok, err := h.Verify(t.Context(), hash, strings.Repeat("x", MaxBytes+1)); ok || err != nil {
		t.Errorf("beyond the bound: %v, %v", ok, err)
	}
}

func TestNothingMatchesNoPassword(t *testing.T) {
	h := NewHasher(0)
	for _, p := range []string{"", "x", "null", strings.Repeat("\x00", 32)} {
		if ok, err := h.Verify(t.Context(), "", p); ok || err != nil {
			t.Errorf("%q: %v, %v", p, ok, err)
		}
	}
}

func TestHashesBeyondTheBoundsAreRefused(t *testing.T) {
	const b64, salt = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "c29tZXNhbHQ"
	const key = "DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww="
	const bcryptTail = "$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo."
	h := NewHasher(1)
	for _, hash := range []string{
		"x", "$", "$$$$$", "!", "!unusable", "plain", "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99", "pbkdf2_sha1$1000$salt$" + key,
		"pbkdf2_sha256$0$salt$" + key, "pbkdf2_sha256$-1$salt$" + key, "pbkdf2_sha256$1000001$salt$" + key,
		"pbkdf2_sha256$99999999999999999999$salt$" + key, "pbkdf2_sha256$+1000$salt$" + key, "pbkdf2_sha256$01000$salt$" + key,
		"pbkdf2_sha256$1000$$" + key, "pbkdf2_sha256$1000$salt$", "pbkdf2_sha256$1000$salt$" + key[:40], "pbkdf2_sha256$1000$salt$" + key + "$",
		"pbkdf2_sha256$1000$salt$" + strings.TrimSuffix(key, "="), "pbkdf2_sha256$1000$sa lt$" + key, "pbkdf2_sha256$1000$" + strings.Repeat("s", 129) + "$" + key,
		"$2b$13" + bcryptTail, "$2b$31" + bcryptTail, "$2b$03" + bcryptTail, "$2b$+5" + bcryptTail, "$2x$05" + bcryptTail, "$2$05" + bcryptTail,
		"$2b$05" + bcryptTail + "x", "$2b$05" + bcryptTail[:53], "$2b$05" + strings.Replace(bcryptTail, "a", "ä", 1)[:54], "$2b$05" + strings.Replace(bcryptTail, "D", "$", 1),
		"bcrypt$" + bcryptTail, "bcrypt$$2b$13" + bcryptTail, "bcrypt_sha256$2b$05" + bcryptTail, "bcrypt_sha256$$2b$13" + bcryptTail, "bcrypt$bcrypt$$2b$05" + bcryptTail,
		"$argon2i$v=19$m=65536,t=2,p=1$" + salt + "$" + b64, "$argon2d$v=19$m=65536,t=2,p=1$" + salt + "$" + b64,
		"$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + b64, "$argon2id$m=65536,t=2,p=1$" + salt + "$" + b64,
		"$argon2id$v=19$m=131073,t=1,p=1$" + salt + "$" + b64, "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + b64,
		"$argon2id$v=19$m=65536,t=5,p=1$" + salt + "$" + b64, "$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + b64,
		"$argon2id$v=19$m=65536,t=1,p=17$" + salt + "$" + b64, "$argon2id$v=19$m=65536,t=1,p=0$" + salt + "$" + b64,
		"$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + b64, "$argon2id$v=19$t=2,m=65536,p=1$" + salt + "$" + b64,
		"$argon2id$v=19$m=65536,t=2,p=1,x=1$" + salt + "$" + b64, "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + b64 + "=",
		"$argon2id$v=19$m=65536,t=2,p=1$$" + b64, "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$", "argon2$$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + b64,
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + strings.Repeat(b64, 20),
	} {
		if err := Importable(hash); !errors.Is(err, ErrHash) {
			t.Errorf("%s may be imported: %v", hash, err)
		}
		if ok, err := h.Verify(t.Context(), hash, "password"); ok || !errors.Is(err, ErrHash) {
			t.Errorf("%s is verified: %v, %v", hash, ok, err)
		}
	}
}

// What the bounds let through takes a quarter of a second; here it is only asked
// that nothing panics and that the same hash is judged the same twice.
func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.hash)
	}
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, hash string) {
		s, err := parse(hash)
		if err != nil {
			if err != ErrHash { // itself: nothing of the hash is in it
				t.Errorf("error %v", err)
			}
			return
		}
		switch s := s.(type) {
		case argon2Hash:
			if s.kib > maxMemory || s.kib*s.passes > maxArgonWork || s.lanes > maxLanes || s.String() != strings.TrimPrefix(hash, "argon2") {
				t.Errorf("%q became %v", hash, s)
			}
			if s.kib <= 64 && s.passes <= 4 {
				s.matches([]byte("x"))
			}
		case pbkdf2Hash:
			if s.iterations > maxIterations || len(s.key) != 32 {
				t.Errorf("%q became %v", hash, s)
			}
		case bcryptHash:
			if strings.HasPrefix(hash[4:], "04") {
				s.matches([]byte("x"))
			}
		}
	})
}

func TestWhoWaitsTooLongIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(1)
		held := make(chan struct{})
		go func() { _ = h.turn(context.Background(), 0, func() { <-held }) }()
		synctest.Wait()
		start := time.Now()
		_, err := h.Verify(t.Context(), "", "x")
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Unavailable.Code || f.RetryAfter <= 0 || time.Since(start) != patience {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Hash(ctx, "x7#kQ2mv"); !errors.Is(err, context.Canceled) {
			t.Errorf("who hung up: %v", err)
		}
		close(held)
		synctest.Wait()
		if _, err := h.Verify(t.Context(), "", "x"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestTurnsAreBounded(t *testing.T) {
	h := NewHasher(3)
	var now, most, heavy, mostHeavy atomic.Int64
	raise := func(most *atomic.Int64, n int64) {
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
	}
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			kib := uint32(ourMemory)
			if i%2 == 0 {
				kib = maxMemory
			}
			if err := h.turn(context.Background(), kib, func() {
				raise(&most, now.Add(1))
				defer now.Add(-1)
				if kib > ourMemory {
					raise(&mostHeavy, heavy.Add(1))
					defer heavy.Add(-1)
				}
				time.Sleep(time.Millisecond)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if most.Load() > 3 || mostHeavy.Load() != 1 {
		t.Errorf("%d at once, %d heavy ones", most.Load(), mostHeavy.Load())
	}
}

func BenchmarkVerify(b *testing.B) {
	h := NewHasher(0)
	ours, err := h.Hash(context.Background(), "password")
	if err != nil {
		b.Fatal(err)
	}
	for name, hash := range map[string]string{
		"ours": ours, "none": "",
		"django pbkdf2": "pbkdf2_sha256$1000000$seasalt$DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww=",
		"django argon2": "argon2$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"bcrypt 12":     "$2b$12$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := h.Verify(context.Background(), hash, "password"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
