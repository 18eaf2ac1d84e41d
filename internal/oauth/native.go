package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
	"github.com/dialtone-id/dialtone/internal/user"
)

const (
	maxJSONBytes   = 8 << 10
	maxAgreement   = 64 // characters of agreement_version
	defaultLocale  = "zh-CN"
	pathChallenges = "/v1/sms/challenges"
	pathResend     = pathChallenges + "/{id}/resend"
)

var (
	errJSONType          = fault.New(http.StatusUnsupportedMediaType, "unsupported_media_type", "the request body must be application/json")
	errPurpose           = fault.New(http.StatusUnprocessableEntity, "invalid_request", "the only purpose offered here is login")
	errLocale            = fault.New(http.StatusUnprocessableEntity, "invalid_request", "locale must be a language tag")
	errAgreementRequired = fault.New(http.StatusUnprocessableEntity, "agreement_required", "agreement_version must name the terms that the person agreed to")
	errNotNative         = errUnauthorizedClient.Describe("the client may not use the SMS-code grant")
	errMember            = fault.New(http.StatusUnprocessableEntity, "invalid_request", "a member of the request is not acceptable")
)

// texts sends codes and checks them; *sms.Service is one.
type texts interface {
	ParseNumber(input string) (sms.Number, error)
	Send(ctx context.Context, r sms.Request) (sms.Challenge, error)
	Resend(ctx context.Context, ref sms.Ref, a sms.Again) (sms.Challenge, error)
	Get(ctx context.Context, ref sms.Ref) (sms.Challenge, error)
	Check(ctx context.Context, ref sms.Ref, code string) (sms.Proof, error)
}

// challengeInput asks for a code. Every member is a string.
type challengeInput struct {
	Body struct {
		ClientID         string `json:"client_id" doc:"The client; a confidential one authenticates as at the token endpoint"`
		ClientSecret     string `json:"client_secret,omitempty" doc:"Of a client registered for client_secret_post"`
		Phone            string `json:"phone" doc:"The number to text, E.164 or as people write it"`
		Purpose          string `json:"purpose,omitempty" enum:"login" doc:"What the code is for"`
		Locale           string `json:"locale,omitempty" doc:"Language of the message, BCP 47" example:"zh-CN"`
		AgreementVersion string `json:"agreement_version,omitempty" doc:"Version of the terms that the person agreed to; required unless the client is exempt"`
		Captcha          string `json:"captcha,omitempty" doc:"Proof of a human check, where one is demanded"`
	}
	request *http.Request
}

// resendInput asks for the same code again.
type resendInput struct {
	ID   string `path:"id" doc:"challenge_id"`
	Body struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret,omitempty"`
		Locale       string `json:"locale,omitempty"`
		Captcha      string `json:"captcha,omitempty" doc:"Proof of a human check, where one is demanded"`
	}
	request *http.Request
}

// Resolve keeps the HTTP request, which client authentication reads (huma.Resolver).
func (in *challengeInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humachi.Unwrap(ctx)
	return nil
}

// Resolve keeps the HTTP request (huma.Resolver).
func (in *resendInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humachi.Unwrap(ctx)
	return nil
}

// challengeOutput is what the app may know of the challenge.
type challengeOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		ChallengeID string `json:"challenge_id" doc:"Goes to the token endpoint with the code"`
		MaskedPhone string `json:"masked_phone" example:"+86 138****8000"`
		ExpiresIn   int    `json:"expires_in" doc:"Seconds until the code is void"`
		ResendAfter int    `json:"resend_after" doc:"Seconds until the code may be sent again"`
	}
}

// Native adds the two operations by which an app asks for a code. Its answers
// hold nothing but the members of design section 6 if the API has no transformers
// that add links to schemas.
func (s *Server) Native(api huma.API) {
	errs := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}
	huma.Register(api, huma.Operation{
		OperationID: "create-sms-challenge", Method: http.MethodPost, Path: pathChallenges, DefaultStatus: http.StatusCreated,
		Summary: "Send a one-time code to a number", Tags: []string{"SMS-code grant"}, Errors: errs,
		SkipValidateBody: true, MaxBodyBytes: maxJSONBytes,
		Middlewares: huma.Middlewares{s.strictJSON("client_id", "client_secret", "phone", "purpose", "locale", "agreement_version", "captcha")},
	}, s.createChallenge)
	huma.Register(api, huma.Operation{
		OperationID: "resend-sms-challenge", Method: http.MethodPost, Path: pathResend,
		Summary: "Send the same code again", Tags: []string{"SMS-code grant"}, Errors: errs,
		SkipValidateBody: true, MaxBodyBytes: maxJSONBytes,
		Middlewares: huma.Middlewares{s.strictJSON("client_id", "client_secret", "locale", "captcha")},
	}, s.resendChallenge)
}

func (s *Server) createChallenge(ctx context.Context, in *challengeInput) (*challengeOutput, error) {
	b := in.Body
	c, err := s.authenticateNative(in.request, b.ClientID, b.ClientSecret)
	if err != nil {
		return nil, s.problemOf(in.request, err)
	}
	if b.Purpose != "" && b.Purpose != string(sms.Login) {
		return nil, s.problemOf(in.request, errPurpose)
	}
	challenge, key, puzzle, err := s.text(ctx, c, asked{phone: b.Phone, locale: b.Locale, agreement: b.AgreementVersion, captcha: b.Captcha})
	return s.answerChallenge(in.request, challenge, key, puzzle, err)
}

func (s *Server) resendChallenge(ctx context.Context, in *resendInput) (*challengeOutput, error) {
	c, err := s.authenticateNative(in.request, in.Body.ClientID, in.Body.ClientSecret)
	if err != nil {
		return nil, s.problemOf(in.request, err)
	}
	named := parseNativeChallenge(in.ID)
	challenge, puzzle, err := s.textAgain(ctx, c, named, asked{locale: in.Body.Locale, captcha: in.Body.Captcha})
	return s.answerChallenge(in.request, challenge, named.key, puzzle, err)
}

// asked is what an app asks for a code with; of a re-send only locale and captcha.
type asked struct{ phone, locale, agreement, captcha string }

// text sends a code to a number. Whether that has an account is not looked up, so it
// cannot show. The key binds the challenge to whoever asked, see nativeChallenge; a
// puzzle is what has to be solved first.
func (s *Server) text(ctx context.Context, c *client.Client, a asked) (_ sms.Challenge, key string, _ *captcha.Puzzle, _ error) {
	if a.phone == "" {
		return sms.Challenge{}, "", nil, errMember.Describe("phone is required")
	}
	if a.agreement == "" && !c.SkipAgreement || !isAgreement(a.agreement) {
		return sms.Challenge{}, "", nil, errAgreementRequired
	}
	locale, err := localeOf(a.locale)
	if err != nil {
		return sms.Challenge{}, "", nil, err
	}
	number, err := s.sms.ParseNumber(a.phone)
	if err != nil {
		return sms.Challenge{}, "", nil, err
	}
	key = newNativeKey()
	request := sms.Request{
		Number: number, Purpose: sms.Login, ClientID: c.ID, Flow: nativeBinding(c.ID, key), Locale: locale,
		Address: user.CallerOf(ctx).Address, Note: agreement{version: a.agreement, locale: locale}.String(),
	}
	challenge, puzzle, err := captcha.Guard(ctx, s.captcha, s.humanCheckOf(c.ID, number), captcha.Answer{Proof: a.captcha}, func(human int) (sms.Challenge, error) {
		request.Human = human
		return s.sms.Send(ctx, request)
	})
	return challenge, key, puzzle, err
}

// textAgain sends the same code once more.
func (s *Server) textAgain(ctx context.Context, c *client.Client, named nativeChallenge, a asked) (sms.Challenge, *captcha.Puzzle, error) {
	locale, err := localeOf(a.locale)
	if err != nil {
		return sms.Challenge{}, nil, err
	}
	before, err := s.sms.Get(ctx, named.ref(c.ID)) // the number, which a human check is bound to
	if err != nil {
		return sms.Challenge{}, nil, err
	}
	again := sms.Again{Locale: locale, Address: user.CallerOf(ctx).Address}
	return captcha.Guard(ctx, s.captcha, s.humanCheckOf(c.ID, before.Number), captcha.Answer{Proof: a.captcha}, func(human int) (sms.Challenge, error) {
		again.Human = human
		return s.sms.Resend(ctx, named.ref(c.ID), again)
	})
}

// isAgreement says whether text may be a version of the terms; "" may.
func isAgreement(text string) bool {
	return utf8.RuneCountInString(text) <= maxAgreement && !hasControl(text)
}

// humanCheckOf is what a human check for a native client is bound to. No flow
// exists before the first message, and the client is what asks.
func (s *Server) humanCheckOf(clientID string, n sms.Number) captcha.Binding {
	return captcha.Binding{Flow: []byte("native human check|" + clientID), Number: n.Index(s.vault)}
}

func (s *Server) answerChallenge(r *http.Request, c sms.Challenge, key string, puzzle *captcha.Puzzle, err error) (*challengeOutput, error) {
	if err != nil {
		p := s.problemOf(r, err)
		p.Captcha = puzzle
		return nil, p
	}
	out := &challengeOutput{CacheControl: "no-store"}
	out.Body.ChallengeID = nativeChallenge{id: c.ID, key: key}.String()
	out.Body.MaskedPhone = c.Number.String()
	out.Body.ExpiresIn = int(time.Until(c.ExpiresAt) / time.Second)
	out.Body.ResendAfter = seconds(time.Until(c.ResendAt))
	return out, nil
}

// authenticateNative is client authentication as at the token endpoint, for
// clients of ours that may use the grant.
func (s *Server) authenticateNative(r *http.Request, clientID, secret string) (*client.Client, error) {
	c, err := s.authenticateFirstParty(r, clientID, secret)
	if errors.Is(err, errNotFirstParty) || err == nil && !c.MayUse(client.GrantSMSCode) {
		return nil, errNotNative
	}
	return c, err
}

func localeOf(raw string) (string, error) {
	switch {
	case raw == "":
		return defaultLocale, nil
	case localePattern.MatchString(raw):
		return raw, nil
	}
	return "", errLocale
}

// agreement is what the person agreed to before the code was sent. It travels
// sealed with the challenge, so that the sign-in can keep it.
type agreement struct{ version, locale string }

func (a agreement) String() string { return a.locale + " " + a.version }

func parseAgreement(note string) agreement {
	locale, version, _ := strings.Cut(note, " ")
	return agreement{version: version, locale: locale}
}

// strictJSON lets through one JSON object of strings with only these members,
// each at most once. The library's own decoder takes the last of two equal keys,
// ignores case, and quotes what it refuses, which may be a number.
func (s *Server) strictJSON(members ...string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if !mediaTypeIs(r.Header, "application/json") {
			s.writeProblem(w, r, errJSONType)
			return
		}
		body, err := readBody(w, r, maxJSONBytes)
		if err == nil {
			err = checkObject(body, members, nil, false)
		}
		if err != nil {
			s.writeProblem(w, r, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next(ctx)
	}
}

var errNotJSON = errInvalidRequest.Describe("the request body must be one JSON object")

// checkObject takes null for a string if nullable.
func checkObject(body []byte, members, required []string, nullable bool) error {
	if !utf8.Valid(body) {
		return errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errNotJSON
	}
	seen := make(map[string]bool, len(members))
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errNotJSON
		}
		key, _ := name.(string)
		if !slices.Contains(members, key) {
			return errMember.Describe("the request has an unknown member; known are %s", strings.Join(members, ", "))
		}
		if seen[key] {
			return errInvalidRequest.Describe("member %s was sent more than once", key)
		}
		seen[key] = true
		value, err := d.Token()
		if err != nil {
			return errNotJSON
		}
		if _, ok := value.(string); !ok && !(nullable && value == nil) {
			return errMember.Describe("member %s must be a string", key)
		}
	}
	if _, err := d.Token(); err != nil {
		return errNotJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errNotJSON
	}
	for _, name := range required {
		if !seen[name] {
			return errMember.Describe("member %s is required", name)
		}
	}
	return nil
}
