package user

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// authenticator is one passkey and the browser that it is used from. Its fields
// are what an attacker or a broken device may change.
type authenticator struct {
	t      testing.TB
	id     []byte
	key    *ecdsa.PrivateKey
	handle []byte // the user handle that it was made for

	origin, rpID string
	counter      uint32 // of the next assertion; one that counts nothing stays at zero
	flags        protocol.AuthenticatorFlags
}

// newAuthenticator is a device-bound passkey of the house's origin, with a person
// before it whom it knows.
func newAuthenticator(t testing.TB) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authenticator{t: t, id: make([]byte, 32), key: key, origin: issuer, rpID: "id.example",
		flags: protocol.FlagUserPresent | protocol.FlagUserVerified}
	rand.Read(a.id)
	return a
}

// synced makes it one that several devices share.
func (a *authenticator) synced() *authenticator {
	a.flags |= protocol.FlagBackupEligible | protocol.FlagBackupState
	return a
}

func (a *authenticator) credentialID() string { return base64.RawURLEncoding.EncodeToString(a.id) }

// create answers creation options.
func (a *authenticator) create(c PasskeyChallenge) []byte {
	a.t.Helper()
	var options struct {
		Challenge string
		User      struct{ ID string }
	}
	a.read(c.Options, &options)
	var err error
	if a.handle, err = base64.RawURLEncoding.DecodeString(options.User.ID); err != nil {
		a.t.Fatal(err)
	}
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	public := a.cbor(webauthncose.EC2PublicKeyData{
		PublicKeyData: webauthncose.PublicKeyData{KeyType: int64(webauthncose.EllipticKey), Algorithm: int64(webauthncose.AlgES256)},
		Curve:         int64(webauthncose.P256), XCoord: point[1:33], YCoord: point[33:],
	})
	data := a.data(a.flags | protocol.FlagAttestedCredentialData)
	data = append(data, make([]byte, 16)...) // no AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), public...)
	return a.answer(map[string]any{
		"clientDataJSON": a.clientData("webauthn.create", options.Challenge),
		"attestationObject": a.cbor(map[string]any{
			"fmt": "none", "attStmt": map[string]any{}, "authData": data,
		}),
	})
}

// get answers request options.
func (a *authenticator) get(c PasskeyChallenge) []byte {
	a.t.Helper()
	var options struct{ Challenge string }
	a.read(c.Options, &options)
	client, data := a.clientData("webauthn.get", options.Challenge), a.data(a.flags)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]any{
		"clientDataJSON": client, "authenticatorData": data, "signature": signature, "userHandle": a.handle,
	})
}

// data is authenticator data without an attested credential (WebAuthn section 6.1).
func (a *authenticator) data(flags protocol.AuthenticatorFlags) []byte {
	hash := sha256.Sum256([]byte(a.rpID))
	return binary.BigEndian.AppendUint32(append(hash[:], byte(flags)), a.counter)
}

func (a *authenticator) clientData(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func (a *authenticator) answer(response map[string]any) []byte {
	for name, value := range response {
		response[name] = base64.RawURLEncoding.EncodeToString(value.([]byte))
	}
	text, err := json.Marshal(map[string]any{
		"id": a.credentialID(), "rawId": a.credentialID(), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func (a *authenticator) cbor(value any) []byte {
	a.t.Helper()
	text, err := webauthncbor.Marshal(value)
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func (a *authenticator) read(text []byte, into any) {
	a.t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		a.t.Fatal(err)
	}
}
