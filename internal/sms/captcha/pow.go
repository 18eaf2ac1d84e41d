package captcha

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// The proof of work has the wire format of ALTCHA, version 1: find the number
// that, behind the salt, has the given SHA-256. What it is good for, of which
// level it is and until when stands in the salt, under the signature.
//
// The salt ends with "&". Without an end of its own the first digits of the
// number could be moved into the salt: the same hash and signature would then
// stand for another expiry (CVE-2025-68113).
const powAlgorithm = "SHA-256"

// powLife is how long a proof of work may take (policy P-16). A script begins
// as the page loads and sends the form by itself.
const powLife = 2 * time.Minute

// maxNumber is the size of the search for a level of 1 to 3; half of it is
// tried on average. A slow phone does some 200,000 hashes a second in a worker
// of its browser (the second block of the salt and the number is all it has to
// hash), a recent one five times as many: at most 0.25 s, 1.5 s and 5 s on the
// slow one. Native code does 10^7 a second and more, so the check makes an
// attack dearer and does not end it; budgets do.
func maxNumber(level int) int64 {
	switch {
	case level <= 1:
		return 50_000
	case level == 2:
		return 300_000
	}
	return hardest
}

const hardest = 1_000_000

// challenge is what a solver is given.
type challenge struct {
	Algorithm string `json:"algorithm"`
	Challenge string `json:"challenge"` // hex SHA-256 of the salt and the decimal number
	MaxNumber int64  `json:"maxnumber"` // a hint alone: the number is what it is
	Salt      string `json:"salt"`      // HEX?expires=UNIX&l=LEVEL&f=HEX&
	Signature string `json:"signature"` // hex HMAC-SHA-256 of Challenge
}

// solution is what a solver gives back.
type solution struct {
	Algorithm string  `json:"algorithm"`
	Challenge string  `json:"challenge"`
	Number    int64   `json:"number"`
	Salt      string  `json:"salt"`
	Signature string  `json:"signature"`
	Took      float64 `json:"took"` // milliseconds, as the solver says
}

func powDigest(salt string, number int64) string {
	sum := sha256.Sum256(append([]byte(salt), strconv.FormatInt(number, 10)...))
	return hex.EncodeToString(sum[:])
}

func powSignature(key []byte, challenge string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(challenge))
	return hex.EncodeToString(mac.Sum(nil))
}

func powSalt(random []byte, expires time.Time, level int, binding []byte) string {
	return fmt.Sprintf("%x?expires=%d&l=%d&f=%x&", random, expires.Unix(), level, binding)
}

// readSalt takes a salt apart whose signature was found to be ours.
func readSalt(salt string) (expires time.Time, level int, binding string, ok bool) {
	_, rest, _ := strings.Cut(salt, "?expires=")
	seconds, rest, _ := strings.Cut(rest, "&l=")
	digit, rest, _ := strings.Cut(rest, "&f=")
	binding, ok = strings.CutSuffix(rest, "&")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	level, bad := strconv.Atoi(digit)
	return time.Unix(unix, 0), level, binding, ok && err == nil && bad == nil
}

// powPuzzle makes a challenge.
func (c *Checker) powPuzzle(b Binding, level int) json.RawMessage {
	level = min(max(level, lowest), highest)
	most := maxNumber(level)
	number, err := rand.Int(rand.Reader, big.NewInt(most+1))
	if err != nil {
		panic(fmt.Sprintf("captcha: %v", err)) // never: see crypto/rand
	}
	random := make([]byte, 12)
	rand.Read(random) // never fails
	salt := powSalt(random, time.Now().Add(powLife), level, c.hash(b))
	digest := powDigest(salt, number.Int64())
	data, err := json.Marshal(challenge{
		Algorithm: powAlgorithm, Challenge: digest, MaxNumber: most, Salt: salt, Signature: c.sign(digest),
	})
	if err != nil {
		panic(fmt.Sprintf("captcha: %v", err)) // strings and a number
	}
	return data
}

// judgePow checks a solution and uses it up. It is marked after it was found
// right: marks are rows, and nobody makes rows for nothing.
func (c *Checker) judgePow(ctx context.Context, b Binding, proof string) (level int, r result, err error) {
	s, ok := readSolution(proof)
	if !ok {
		return 0, failed, nil
	}
	digest := powDigest(s.Salt, s.Number)
	right := subtle.ConstantTimeCompare([]byte(digest), []byte(s.Challenge)) &
		subtle.ConstantTimeCompare([]byte(c.sign(digest)), []byte(s.Signature))
	if right != 1 {
		return 0, failed, nil
	}
	expires, level, binding, ok := readSalt(s.Salt)
	if !ok || subtle.ConstantTimeCompare([]byte(binding), []byte(hex.EncodeToString(c.hash(b)))) != 1 {
		return 0, failed, nil
	}
	if !time.Now().Before(expires) {
		return level, expired, nil
	}
	r, err = c.use(ctx, kindPow, digest, expires)
	return level, r, err
}

// maxSolution bounds what is read of a solution; ours have some 420 bytes.
const maxSolution = 1024

// readSolution is strict: there is one way to write a solution.
func readSolution(proof string) (solution, bool) {
	var s solution
	if len(proof) > maxSolution {
		return s, false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(proof)
	if err != nil {
		return s, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&s) != nil {
		return s, false
	}
	if _, err := d.Token(); err != io.EOF {
		return s, false
	}
	return s, s.Algorithm == powAlgorithm && s.Number >= 0 && s.Number <= hardest
}
