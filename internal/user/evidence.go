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
	if s.fresh() {
		has = shownBy(s.AMR, s.ACR)
	}
	for name, at := range p.Users.provenIn(r, s) {
		has[name] = has[name] || lately(time.UnixMicro(at))
	}
	return has
}

// two: two factors.
func (has evidence) two() bool {
	return has.strong() || has[proofMFA] || has[proofSMS] && has[proofPassword]
}

// strong: two factors that are not the number and a password.
func (has evidence) strong() bool {
	return has[proofPasskey] || has[proofTOTP] || has[proofRecovery] || has[proofMFA] && !(has[proofSMS] && has[proofPassword])
}

// needsStronger says whether an account has what a text message must not overrule.
func (s *Service) needsStronger(ctx context.Context, userID string) (bool, error) {
	has, err := s.proofTimes(ctx, userID)
	second := has.second()
	return slices.Contains(second, proofTOTP) || slices.Contains(second, proofPasskey), err
}

// by is who changes on these pages how they sign in. Their session goes on, with the
// cookie that renewed sets.
func (p *Pages) by(r *http.Request, s Session) By {
	return By{Actor: "user:" + s.UserID, Session: s.ID, OneFactor: !p.shownLately(r, s).two(), secret: new(string)}
}

// renewed hands the browser the cookie that its session has after a change which
// ended all others, for whoever knows the one of before.
func (p *Pages) renewed(w http.ResponseWriter, who By) {
	if *who.secret != "" {
		p.Users.setCookie(w, SignedIn{Secret: *who.secret})
	}
}

// noteMade counts what somebody has just made as shown, or they would be asked for it
// at once; not what counts for nothing yet.
func (p *Pages) noteMade(w http.ResponseWriter, r *http.Request, s Session, name string) error {
	has, err := p.Users.proofTimes(r.Context(), s.UserID)
	if err != nil || !slices.Contains(has.second(), name) {
		return err
	}
	return p.Users.noteProven(w, r, s, name)
}

// asks is the page that asks for more before u changes how they sign in, "" if what
// they have shown is enough. A password alone is not where there is a number: it is
// what is phished. Beside a text message it does not make up for a passkey or an app.
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
	case has.two():
		return "", nil
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
