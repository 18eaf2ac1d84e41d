package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
	"github.com/dialtone-id/dialtone/internal/user"
)

type phoneCodeInput struct {
	Body struct {
		Phone   string `json:"phone,omitempty" doc:"The new number; left out for a code to the one that the account has"`
		Locale  string `json:"locale,omitempty"`
		Captcha string `json:"captcha,omitempty" doc:"Proof of a human check, where one is demanded"`
	}
}

type phoneCodeBody struct {
	ChallengeID string `json:"challenge_id"`
	MaskedPhone string `json:"masked_phone" example:"+86 138****8000"`
	ExpiresIn   int    `json:"expires_in" doc:"Seconds until the code is void"`
	ResendAfter int    `json:"resend_after" doc:"Seconds until another may be asked for"`
}

type phoneInput struct {
	Body struct {
		CurrentChallengeID string `json:"current_challenge_id,omitempty" doc:"Of the code to the number that the account has; left out if it has none"`
		CurrentCode        string `json:"current_code,omitempty"`
		ChallengeID        string `json:"challenge_id" doc:"Of the code to the new number"`
		Code               string `json:"code"`
	}
}

// phone gives the account another number, by a code to each of the two. Whether the
// new one is somebody's shows only to who has proven it.
func (a *accountAPI) phone() {
	serve(a, operation{
		id: "create-phone-challenge", method: http.MethodPost, path: "/phone/challenges", status: http.StatusCreated,
		summary: "Send a code for a change of number, to the current or the new one", fresh: true, strong: true,
		members: []string{"phone", "locale", "captcha"}, change: limited,
	}, a.sendPhoneCode)
	serve(a, operation{
		id: "put-phone", method: http.MethodPut, path: "/phone",
		summary: "Change the number by a code to each of the two, which a request uses up; ends every other session and every grant, that of the app too", fresh: true, strong: true,
		members: []string{"current_challenge_id", "current_code", "challenge_id", "code"}, change: conflicts,
	}, a.changePhone)
}

func (a *accountAPI) sendPhoneCode(ctx context.Context, c call, in *phoneCodeInput) (*answer[phoneCodeBody], error) {
	u, err := c.person(a.s)
	if err != nil {
		return nil, err
	}
	number := u.Phone
	if in.Body.Phone != "" {
		if number, err = a.s.sms.ParseNumber(in.Body.Phone); err != nil {
			return nil, err
		}
	}
	if number.IsZero() {
		return nil, errMember.Describe("phone is required: the account has no number")
	}
	locale, err := localeOf(in.Body.Locale)
	if err != nil {
		return nil, err
	}
	ref := c.phoneRef("")
	request := sms.Request{
		Number: number, Purpose: ref.Purpose, ClientID: ref.ClientID, Flow: ref.Flow, Locale: locale, Address: user.CallerOf(ctx).Address,
	}
	check := captcha.Binding{Flow: ref.Flow, Number: number.Index(a.s.vault)}
	challenge, puzzle, err := captcha.Guard(ctx, a.s.captcha, check, captcha.Answer{Proof: in.Body.Captcha}, func(human int) (sms.Challenge, error) {
		request.Human = human
		return a.s.sms.Send(ctx, request)
	})
	if err != nil {
		p := a.s.problemOf(c.r, err)
		p.Captcha = puzzle
		return nil, p
	}
	return &answer[phoneCodeBody]{phoneCodeBody{
		ChallengeID: challenge.ID, MaskedPhone: challenge.Number.String(),
		ExpiresIn: int(time.Until(challenge.ExpiresAt) / time.Second), ResendAfter: seconds(time.Until(challenge.ResendAt)),
	}}, nil
}

func (a *accountAPI) changePhone(ctx context.Context, c call, in *phoneInput) (*nothing, error) {
	u, err := c.person(a.s)
	if err != nil {
		return nil, err
	}
	if !u.Phone.IsZero() {
		current, err := a.s.sms.Check(ctx, c.phoneRef(in.Body.CurrentChallengeID), in.Body.CurrentCode)
		if err != nil {
			return nil, err
		}
		// At once, whatever comes of the other code: a right one is no wrong try of the owner's.
		if err := a.s.users.ProvePhone(ctx, u.ID, current); err != nil {
			return nil, err
		}
	}
	next, err := a.s.sms.Check(ctx, c.phoneRef(in.Body.ChallengeID), in.Body.Code)
	if err != nil {
		return nil, err
	}
	return nil, a.s.users.ChangePhone(ctx, user.PhoneChange{UserID: u.ID, From: u.Phone, To: next, By: c.by()})
}

// phoneRef is a challenge that this app asked for this person's change of number.
func (c call) phoneRef(id string) sms.Ref {
	sum := sha256.Sum256([]byte("account phone|" + c.userID() + "|" + c.token.ClientID))
	return sms.Ref{ID: id, Purpose: sms.ChangePhone, ClientID: c.token.ClientID, Flow: sum[:], Address: user.CallerOf(c.r.Context()).Address}
}

// asProblem is err if it is told as it is, with what was added to it.
func asProblem(err error) (p *problem, ok bool) { return p, errors.As(err, &p) }
