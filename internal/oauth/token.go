package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/user"
)

// errInvalidCode says the same of every challenge and code that does not do.
var errInvalidCode = fault.New(http.StatusBadRequest, "invalid_grant", "the challenge or its code is wrong, expired, used or exhausted")

// What a sign-in by SMS is worth (RFC 8176; acr values are ours, see docs/protocol.md).
const acrSMS = user.ACROneFactor

func amrSMS() []string { return []string{"sms", "otp"} }

// token is the token endpoint (RFC 6749 section 3.2).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	shareErrors(w)
	p, err := formParams(w, r, maxFormBytes)
	var answer engine.TokenResponse
	if err == nil {
		answer, err = s.exchange(w, r, p)
	}
	s.observer.TokenDone(tokenDone(p.get("grant_type"), answer, err))
	if err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// exchange is the token request of a client that proves who it is.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request, p params) (engine.TokenResponse, error) {
	c, err := s.authenticate(r, p)
	if err != nil {
		return engine.TokenResponse{}, err
	}
	share(w, r, c)
	request := engine.TokenRequest{Client: c, Form: p.form(), Check: s.codeCheck(r)}
	if p.get("grant_type") == client.GrantAuthorizationCode {
		if request.KeyThumbprint, err = s.proofs.Of(r); err != nil {
			return engine.TokenResponse{}, err
		}
	}
	return s.engine.Token(r.Context(), request)
}

// nativeChallenge is a challenge as a native app names it: its id and, after a
// dot, a random key. There is no browser whose flow could hold the challenge, so
// the key binds it to whoever asked for it: somebody else who asks for the same
// number gets another challenge and cannot use up the tries of this one.
type nativeChallenge struct{ id, key string }

func newNativeKey() string { return rand.Text() }

func parseNativeChallenge(s string) nativeChallenge {
	id, key, _ := strings.Cut(s, ".")
	return nativeChallenge{id: id, key: key}
}

func (n nativeChallenge) String() string { return n.id + "." + n.key }

func (n nativeChallenge) ref(clientID string) sms.Ref {
	return sms.Ref{ID: n.id, Purpose: sms.Login, ClientID: clientID, Flow: nativeBinding(clientID, n.key)}
}

func nativeBinding(clientID, key string) []byte {
	sum := sha256.Sum256([]byte("native|" + key + "|" + clientID))
	return sum[:]
}

// codeCheck is the person's part of the SMS-code grant: the code is checked, and
// used up in the transaction that signs the person in.
func (s *Server) codeCheck(r *http.Request) engine.CodeCheck {
	agent := r.UserAgent()
	return func(ctx context.Context, c *client.Client, challengeID, code string) (engine.Person, error) {
		in, err := s.signInBySMS(ctx, c, parseNativeChallenge(challengeID), code, agent)
		if err != nil {
			return engine.Person{}, asInvalidCode(err)
		}
		return engine.Person{UserID: in.User.ID, AuthTime: in.AuthTime, AMR: amrSMS(), ACR: acrSMS, Created: in.Created}, nil
	}
}

// signInBySMS counts a try, compares, and signs in whoever has the number, who may be
// new. The errors are those of sms.Service.Check and user.Service.SignInBySMS.
func (s *Server) signInBySMS(ctx context.Context, c *client.Client, challenge nativeChallenge, code, agent string) (user.SignedIn, error) {
	ref := challenge.ref(c.ID)
	ref.Address = user.CallerOf(ctx).Address
	return s.users.SignInBySMS(ctx, func(ctx context.Context, a *user.Attempt) (sms.Proof, error) {
		proof, err := s.sms.Check(ctx, ref, code)
		agreed := parseAgreement(proof.Note)
		a.AgreementVersion, a.Locale = agreed.version, agreed.locale
		return proof, err
	}, user.Attempt{ClientID: c.ID, Address: ref.Address, UserAgent: agent})
}

// asInvalidCode hides which refusal it was: whether an account exists, is
// disabled or has tries left is nobody's business who cannot bring the code. Who
// did bring it, and can go on in a browser, is told so: the description begins
// with a code of ours.
func asInvalidCode(err error) error {
	var f *fault.Error
	if errors.Is(err, user.ErrClosing) || errors.Is(err, user.ErrRecycled) || errors.Is(err, user.ErrSecondFactor) {
		errors.As(err, &f)
		return errInvalidCode.Describe("%s: %s", f.Code, f.Description).Because(err)
	}
	if errors.As(err, &f) && f.Status < 500 {
		return errInvalidCode.Because(err)
	}
	return err
}
