package user

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// Names of proofs besides those of Proofs.
const (
	proofMFA  = "mfa" // a sign-in by two factors, whichever
	proofBoth = "password_totp"
	proofLost = "lost" // one that makes up for the account's number, shown for that
)

// settled is how old a credential is that makes up for the account's number.
const settled = 24 * time.Hour

// evidence is what somebody has shown lately.
type evidence map[string]bool

// shownBy is what a sign-in showed.
func shownBy(amr []string, acr string) evidence {
	two := acr == ACRTwoFactors
	return evidence{
		proofSMS: slices.Contains(amr, "sms"), proofPassword: slices.Contains(amr, "pwd"), proofMFA: two,
		proofPasskey: two && (slices.Contains(amr, "hwk") || slices.Contains(amr, "swk")),
	}
}

// shownLately is what the sign-in of a session showed, and what was shown in it since.
func (p *Pages) shownLately(r *http.Request, s Session) evidence {
	has := evidence{}
	if lately(s.AuthTime) {
		has = shownBy(s.AMR, s.ACR)
	}
	for name, at := range p.Users.provenIn(r, s) {
		has[name] = has[name] || lately(time.UnixMicro(at))
	}
	return has
}

// strong: something that is neither the number nor a password alone.
func (has evidence) strong() bool {
	return has[proofPasskey] || has[proofTOTP] || has[proofRecovery] || has[proofMFA] || has[proofSMS] && has[proofPassword]
}

// needsStronger says whether an account has what a text message must not overrule.
func (s *Service) needsStronger(ctx context.Context, userID string) (bool, error) {
	has, err := s.proofTimes(ctx, userID)
	_, app := has[proofTOTP]
	_, key := has[proofPasskey]
	return app || key, err
}

// asks is the page that asks for more before u changes how they sign in, "" if what
// they have shown is enough. A password alone is not where there is a number: it is
// what is phished.
func (s *Service) asks(ctx context.Context, u User, has evidence) (page string, err error) {
	if has.strong() {
		return "", nil
	}
	need, err := s.needsStronger(ctx, u.ID)
	switch {
	case err != nil:
		return "", err
	case need:
		return pathProve, nil
	case !has[proofSMS] && !u.provenNumber().IsZero():
		return pathSecond, nil
	}
	return "", nil
}

// MayChangeSignIn says whether a sign-in by these methods is enough to change how u
// signs in: number, password, passkeys, app and recovery codes.
func (s *Service) MayChangeSignIn(ctx context.Context, u User, amr []string, acr string) (bool, error) {
	page, err := s.asks(ctx, u, shownBy(amr, acr))
	return err == nil && page == "", err
}
