package user

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"testing"
)

// djangoHash is a password as Django keeps it, at a cost that tests can pay.
func djangoHash(t testing.TB, password string) string {
	t.Helper()
	key, err := pbkdf2.Key(sha256.New, password, []byte("seasalt"), 1000, 32)
	if err != nil {
		t.Fatal(err)
	}
	return "pbkdf2_sha256$1000$seasalt$" + base64.StdEncoding.EncodeToString(key)
}
