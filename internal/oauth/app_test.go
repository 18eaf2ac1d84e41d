package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/pquerna/otp/totp"

	"github.com/dialtone-id/dialtone/internal/user"
)

const passkeyOrigin = "http://localhost"

// app is a native app of ours that signs somebody in.
type app struct {
	*browser
	client  string
	request request           // what it signs in for
	session string            // the newest auth_session
	key     *ecdsa.PrivateKey // of its DPoP proofs, nil for none
}

// app is a new sign-in; more are parameters of its first request, "" leaves one out.
func (w *world) app(t testing.TB, more ...string) *app {
	return &app{browser: w.browser(t), client: "phone-app", request: ask("phone-app", "", append([]string{"redirect_uri", "", "state", ""}, more...)...)}
}

// give makes one request with name, value pairs and takes over the auth_session of the answer.
func (a *app) give(pairs ...string) reply {
	a.t.Helper()
	form := url.Values{}
	if a.session == "" {
		for name, values := range a.request.Values {
			form[name] = slices.Clone(values)
		}
	} else {
		form.Set("auth_session", a.session)
	}
	form.Set("client_id", a.client)
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := a.post(pathChallenge, form, a.proof(pathChallenge)...)
	if r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("headers %v", r.header)
	}
	if next := r.text("auth_session"); next != "" {
		if next == a.session {
			a.t.Error("the auth_session is the same as before")
		}
		a.session = next
	}
	return r
}

// proof is a DPoP header for a request to a path, none for an app without a key.
func (a *app) proof(path string) []string {
	if a.key == nil {
		return nil
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: a.key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	must(a.t, err)
	payload, err := json.Marshal(map[string]any{"jti": rand.Text(), "htm": "POST", "htu": a.w.url + path, "iat": time.Now().Unix()})
	must(a.t, err)
	jws, err := signer.Sign(payload)
	must(a.t, err)
	text, err := jws.CompactSerialize()
	must(a.t, err)
	return []string{"DPoP", text}
}

// exchange redeems a code as the app would; more are further parameters.
func (a *app) exchange(code string, more ...string) reply {
	a.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {a.client}, "code": {code}, "code_verifier": {a.request.verifier}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return a.post(pathToken, form, a.proof(pathToken)...)
}

// wantCode is the authorization code of a success.
func (r reply) wantAppCode() string {
	r.t.Helper()
	code := r.text("authorization_code")
	if r.status != http.StatusOK || code == "" {
		r.t.Fatalf("no code: %d %s", r.status, r.body)
	}
	return code
}

// wantRefusal checks status and error; next is what can be given afterwards, nil for
// a sign-in that is over.
func (r reply) wantRefusal(status int, code string, next ...string) reply {
	r.t.Helper()
	var got []string
	list, _ := r.json()["next"].([]any)
	for _, v := range list {
		got = append(got, v.(string))
	}
	if r.status != status || r.text("error") != code || !slices.Equal(got, next) || (r.text("auth_session") != "") != (next != nil) {
		r.t.Fatalf("want %d %s %v, got %d %s", status, code, next, r.status, r.body)
	}
	return r
}

// wantMore is a request that is not enough.
func (r reply) wantMore(next ...string) reply {
	r.t.Helper()
	return r.wantRefusal(http.StatusForbidden, "insufficient_authorization", next...)
}

var (
	atFirst   = []string{"sms", "password", "passkey"}
	afterCode = []string{"code", "resend", "sms", "password", "passkey"}
)

// textCode asks for a code and returns it.
func (a *app) textCode(number string) string {
	a.t.Helper()
	a.give("phone", number, "agreement_version", "2026-11").wantMore(afterCode...)
	return a.w.inbox.code(a.t, number)
}

// account makes the account of a new number and returns its id.
func (w *world) account(t testing.TB) (id, number string) {
	number = newNumber()
	a := w.app(t)
	r := a.exchange(a.give("code", a.textCode(number)).wantAppCode())
	id, _ = claims(t, r.text("id_token"))["sub"].(string)
	if id == "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return id, number
}

const aPassword = "correct horse battery staple"

func (w *world) setPassword(t testing.TB, id string) {
	must(t, w.users.SetPassword(t.Context(), id, aPassword, user.By{Actor: "user:" + id}))
}

// authenticatorApp gives an account an authenticator app and returns how to get a
// code of it that was not used, and a recovery code.
func (w *world) authenticatorApp(t testing.TB, id string) (secret, recovery string) {
	enrolled, err := w.users.EnrolTOTP(t.Context(), id, "Dialtone", "somebody")
	must(t, err)
	codes, err := w.users.ConfirmTOTP(t.Context(), id, totpCode(t, enrolled.Secret, -30*time.Second), user.By{Actor: "user:" + id})
	must(t, err)
	return enrolled.Secret, codes[0]
}

func totpCode(t testing.TB, secret string, shift time.Duration) string {
	code, err := totp.GenerateCode(secret, time.Now().Add(shift))
	must(t, err)
	return code
}

// passkey is a key that is bound to a device, with a person before it.
type passkey struct {
	id  []byte
	key *ecdsa.PrivateKey
	of  string // the user handle
}

// addPasskey gives an account one.
func (w *world) addPasskey(t testing.TB, id string) passkey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	k := passkey{id: []byte(rand.Text()), key: key, of: id}
	u, err := w.users.Get(t.Context(), id)
	must(t, err)
	question, err := w.users.BeginPasskey(t.Context(), u, "a session")
	must(t, err)
	point, err := key.PublicKey.Bytes()
	must(t, err)
	public, err := webauthncbor.Marshal(webauthncose.EC2PublicKeyData{
		PublicKeyData: webauthncose.PublicKeyData{KeyType: int64(webauthncose.EllipticKey), Algorithm: int64(webauthncose.AlgES256)},
		Curve:         int64(webauthncose.P256), XCoord: point[1:33], YCoord: point[33:],
	})
	must(t, err)
	data := append(k.data(protocol.FlagAttestedCredentialData), make([]byte, 16)...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(k.id))), k.id...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": append(data, public...)})
	must(t, err)
	answer := k.answer(t, map[string][]byte{"clientDataJSON": clientData(t, "webauthn.create", question.Options), "attestationObject": object})
	_, err = w.users.FinishPasskey(t.Context(), u, user.By{Session: "a session"}, question.State, answer, "a key")
	must(t, err)
	return k
}

// respond answers the question in a reply.
func (k passkey) respond(r reply) (state, response string) {
	r.t.Helper()
	var body struct {
		Passkey struct {
			PublicKey json.RawMessage
			State     string
		}
	}
	must(r.t, json.Unmarshal([]byte(r.body), &body))
	client, data := clientData(r.t, "webauthn.get", body.Passkey.PublicKey), k.data(0)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.key, digest[:])
	must(r.t, err)
	return body.Passkey.State, string(k.answer(r.t, map[string][]byte{
		"clientDataJSON": client, "authenticatorData": data, "signature": signature, "userHandle": []byte(k.of),
	}))
}

func (k passkey) data(flags protocol.AuthenticatorFlags) []byte {
	hash := sha256.Sum256([]byte("localhost"))
	return append(hash[:], byte(protocol.FlagUserPresent|protocol.FlagUserVerified|flags), 0, 0, 0, 0)
}

func (k passkey) answer(t testing.TB, response map[string][]byte) []byte {
	encoded := map[string]string{}
	for name, value := range response {
		encoded[name] = base64.RawURLEncoding.EncodeToString(value)
	}
	id := base64.RawURLEncoding.EncodeToString(k.id)
	text, err := json.Marshal(map[string]any{"id": id, "rawId": id, "type": "public-key", "response": encoded, "clientExtensionResults": map[string]any{}})
	must(t, err)
	return text
}

func clientData(t testing.TB, kind string, options []byte) []byte {
	var asked struct{ Challenge string }
	must(t, json.Unmarshal(options, &asked))
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": asked.Challenge, "origin": passkeyOrigin, "crossOrigin": false})
	must(t, err)
	return text
}
