package user

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// A ceremony (WebAuthn Level 3, sections 7.1 and 7.2) keeps nothing with us while
// it waits for the person: the challenge goes out sealed beside the options and
// comes back with the answer. It is bound to whoever was asked - a flow for a
// sign-in, a session for a new passkey - and remembered only once it was answered,
// so that it is not answered twice.

const (
	challengeLife = 5 * time.Minute
	challengeMark = "passkey" // ephemeral kind

	// What a challenge was made for is sealed with it.
	ceremonyCreate = "create"
	ceremonyGet    = "get"
)

// androidOrigin begins what an Android app says in place of an origin.
const androidOrigin = "android:apk-key-hash:"

// relyingParty is what ceremonies need; the zero value means that there are none.
type relyingParty struct {
	webauthn *webauthn.WebAuthn
	short    ephemeral.Store
}

// EnablePasskeys lets people add passkeys and sign in with them, under the host
// of the issuer. It is called before anybody is served. An issuer whose host is
// an address stays without: browsers make passkeys for names only. apps are the
// origins of Android apps of ours, "android:apk-key-hash:" and the SHA-256 of the
// certificate that one is signed with, in base64url; there it is the app that
// vouches for where a passkey is used.
func (s *Service) EnablePasskeys(issuer, serviceName string, short ephemeral.Store, apps ...string) error {
	u, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return nil
	}
	for _, app := range apps {
		hash, ok := strings.CutPrefix(app, androidOrigin)
		if raw, err := base64.RawURLEncoding.Strict().DecodeString(hash); !ok || err != nil || len(raw) != sha256.Size {
			return fmt.Errorf("%q is no origin of an Android app", app)
		}
	}
	required := true
	w, err := webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: serviceName, RPOrigins: []string{u.Scheme + "://" + u.Host}, RPOpaqueOrigins: apps,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &required,
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return fmt.Errorf("relying party: %w", err)
	}
	s.passkeys = relyingParty{webauthn: w, short: short}
	return nil
}

// HasPasskeys says whether EnablePasskeys took effect.
func (s *Service) HasPasskeys() bool { return s.passkeys.webauthn != nil }

// PasskeyChallenge is what a browser is asked. Options is
// PublicKeyCredentialCreationOptionsJSON or PublicKeyCredentialRequestOptionsJSON
// (WebAuthn Level 3 sections 5.1.9 and 5.1.10). State comes back with the answer
// within five minutes, and is good for one.
type PasskeyChallenge struct {
	Options json.RawMessage `json:"publicKey"`
	State   string          `json:"state"`
}

// algorithms that a new passkey may have: P-256 and Ed25519, and RSA for old
// Windows Hello.
func algorithms() []protocol.CredentialParameter {
	var list []protocol.CredentialParameter
	for _, alg := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		list = append(list, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: alg})
	}
	return list
}

// BeginPasskey asks the person of a session for a new passkey. Faults:
// passkeys_unavailable, passkey_limit.
func (s *Service) BeginPasskey(ctx context.Context, u User, session string) (PasskeyChallenge, error) {
	if !s.HasPasskeys() {
		return PasskeyChallenge{}, ErrPasskeysOff
	}
	keys, err := s.passkeyRows(ctx, u.ID)
	if err != nil {
		return PasskeyChallenge{}, err
	}
	if len(keys) >= passkeysKept {
		return PasskeyChallenge{}, ErrPasskeyLimit
	}
	owner := keyOwner{User: u, keys: keys}
	creation, data, err := s.passkeys.webauthn.BeginRegistration(owner,
		webauthn.WithExclusions(webauthn.Credentials(owner.WebAuthnCredentials()).CredentialDescriptors()),
		webauthn.WithCredentialParameters(algorithms()))
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("begin a passkey: %w", err)
	}
	return s.ask(creation.Response, data.Challenge, ceremonyCreate, []byte(session))
}

// FinishPasskey verifies the answer to BeginPasskey (RegistrationResponseJSON) in the
// same session, by.Session, and keeps the key. Faults: passkeys_unavailable, passkey_expired, passkey_failed,
// passkey_exists, passkey_limit, account_disabled.
func (s *Service) FinishPasskey(ctx context.Context, u User, by By, state string, response []byte, name string) (Passkey, error) {
	challenge, err := s.answered(state, ceremonyCreate, []byte(by.Session))
	if err != nil {
		return Passkey{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Passkey{}, ErrPasskeyFailed.Because(err)
	}
	owner := keyOwner{User: u}
	made, err := s.passkeys.webauthn.CreateCredential(owner, webauthn.SessionData{
		Challenge: challenge, UserID: owner.WebAuthnID(), UserVerification: protocol.VerificationRequired, CredParams: algorithms(),
	}, parsed)
	if err != nil {
		return Passkey{}, ErrPasskeyFailed.Because(err)
	}
	if err := s.useUp(ctx, challenge); err != nil {
		return Passkey{}, err
	}
	k := passkeyRow{
		Passkey: Passkey{
			ID: base64.RawURLEncoding.EncodeToString(made.ID), Name: passkeyName(name),
			Synced: made.Flags.BackupEligible,
		},
		userID: u.ID, publicKey: made.PublicKey, signCount: made.Authenticator.SignCount, backedUp: made.Flags.BackupState,
	}
	if id, err := uuid.FromBytes(made.Authenticator.AAGUID); err == nil && id != uuid.Nil {
		k.aaguid = id.String()
	}
	for _, t := range made.Transport {
		if slices.Contains(transports(), t) && !slices.Contains(k.transports, string(t)) {
			k.transports = append(k.transports, string(t))
		}
	}
	err = s.keepPasskey(ctx, &k, by)
	return k.Passkey, err
}

// transports are those of WebAuthn Level 3 section 5.8.4. Browsers may send others,
// which are a hint that we would not understand, and scripts anything at all.
func transports() []protocol.AuthenticatorTransport {
	return []protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal}
}

// ask seals the challenge of a ceremony beside its options.
func (s *Service) ask(options any, challenge, ceremony string, binding []byte) (PasskeyChallenge, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("encode the options of a passkey: %w", err)
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(db.Micros(time.Now().Add(challengeLife)))) //nolint:gosec // after 1970
	sealed := s.vault.Seal(labelPasskey, append(plain, challenge...), challengeBinding(ceremony, binding))
	return PasskeyChallenge{Options: text, State: base64.RawURLEncoding.EncodeToString(sealed)}, nil
}

// answered opens what ask sealed, for the same ceremony of the same flow or session.
func (s *Service) answered(state, ceremony string, binding []byte) (challenge string, err error) {
	if !s.HasPasskeys() {
		return "", ErrPasskeysOff
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil {
		return "", ErrPasskeyExpired.Because(err)
	}
	plain, err := s.vault.Open(labelPasskey, sealed, challengeBinding(ceremony, binding))
	if err != nil || len(plain) <= 8 {
		return "", ErrPasskeyExpired.Because(err)
	}
	if until := int64(binary.BigEndian.Uint64(plain)); db.Micros(time.Now()) > until { //nolint:gosec // ask made it of an int64
		return "", ErrPasskeyExpired
	}
	return string(plain[8:]), nil
}

// challengeBinding: the names of ceremonies have no NUL, so the parts cannot run
// into each other.
func challengeBinding(ceremony string, binding []byte) []byte {
	return append([]byte(ceremony+"\x00"), binding...)
}

// useUp lets exactly one answer to a challenge through. It is called once the
// answer was verified, so nobody else can use a challenge up.
func (s *Service) useUp(ctx context.Context, challenge string) error {
	// A minute more than the challenge lives, for replicas whose clocks differ.
	first, err := s.passkeys.short.Mark(ctx, challengeMark, challenge, challengeLife+time.Minute)
	if err != nil {
		return fault.Unavailable.Because(fmt.Errorf("mark a challenge: %w", err)).After(5 * time.Second)
	}
	if !first {
		return ErrPasskeyExpired
	}
	return nil
}

// keepPasskey writes a new key. The statement on the user's row makes a second
// one wait, so that the limit holds.
func (s *Service) keepPasskey(ctx context.Context, k *passkeyRow, by By) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.db.Exec(ctx, `UPDATE users SET status = status WHERE id = $1 AND status = 'active'`, k.userID)
		if err != nil {
			return fmt.Errorf("lock user: %w", err)
		}
		if n == 0 {
			return ErrDisabled
		}
		if k.CreatedAt, err = s.weaken(ctx, k.userID, by); err != nil {
			return err
		}
		var count int
		if err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM passkeys WHERE user_id = $1`, k.userID).Scan(&count); err != nil {
			return fmt.Errorf("count passkeys: %w", err)
		}
		if count >= passkeysKept {
			return ErrPasskeyLimit
		}
		n, err = s.db.Exec(ctx, `
			INSERT INTO passkeys (id, user_id, name, public_key, sign_count, backup_eligible, backed_up, aaguid, transports, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
			k.ID, k.userID, k.Name, k.publicKey, int64(k.signCount), k.Synced, k.backedUp, k.aaguid, strings.Join(k.transports, " "), db.Micros(k.CreatedAt))
		if err != nil {
			return fmt.Errorf("keep passkey: %w", err)
		}
		if n == 0 {
			return ErrPasskeyExists
		}
		return s.recordPasskey(ctx, "passkey.added", k.userID, k.ID)
	})
}
