package oauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
	"github.com/dialtone-id/dialtone/internal/user"
)

// Nothing else of ours tells whether a number has an account. This does, for
// operators who knowingly want it: it is off unless they say so.
const pathNumberCheck = "/v1/sms/numbers/check"

var (
	errNotTold       = fault.New(http.StatusNotFound, "not_found", "this service does not tell whether a number is taken")
	errNotFirstParty = errUnauthorizedClient.Describe("the client is not one of ours")
)

// Requests that are answered at all, an hour.
const (
	checksPerNumber  = 10  // with or without a human check
	checksPerAddress = 40  // likewise; IPv4, or a /64 of IPv6
	checksPerClient  = 600 // with one
)

// numberCheckInput asks about a number. Every member is a string.
type numberCheckInput struct {
	Body struct {
		ClientID     string `json:"client_id" doc:"A first-party client; a confidential one authenticates as at the token endpoint"`
		ClientSecret string `json:"client_secret,omitempty" doc:"Of a client registered for client_secret_post"`
		Phone        string `json:"phone" doc:"The number, E.164 or as people write it"`
		Captcha      string `json:"captcha,omitempty" doc:"Proof of the human check that the first answer demands"`
	}
	request *http.Request
}

// Resolve keeps the HTTP request (huma.Resolver).
func (in *numberCheckInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humachi.Unwrap(ctx)
	return nil
}

type numberCheckOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Taken bool `json:"taken" doc:"The number has an account, whatever its state"`
	}
}

func (s *Server) numberCheck(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "check-number", Method: http.MethodPost, Path: pathNumberCheck, Tags: []string{"SMS-code grant"},
		Summary:     "Ask whether a number has an account",
		Description: "Only where the operator set accounts.tell_taken; otherwise 404. Always behind a human check.",
		Errors: []int{
			http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable,
		},
		SkipValidateBody: true, MaxBodyBytes: maxJSONBytes,
		Middlewares: huma.Middlewares{s.ifTold, s.strictJSON("client_id", "client_secret", "phone", "captcha")},
	}, s.checkNumber)
}

// ifTold answers before a request is looked at, so that it is the same for every number.
func (s *Server) ifTold(ctx huma.Context, next func(huma.Context)) {
	if s.tellTaken {
		next(ctx)
		return
	}
	r, w := humachi.Unwrap(ctx)
	s.writeProblem(w, r, errNotTold)
}

// numberCheckLevel is how hard the human check is that every question costs.
const numberCheckLevel = 2

func (s *Server) checkNumber(ctx context.Context, in *numberCheckInput) (*numberCheckOutput, error) {
	taken, puzzle, err := s.askAboutNumber(ctx, in)
	if err != nil {
		p := s.problemOf(in.request, err)
		p.Captcha = puzzle
		return nil, p
	}
	out := &numberCheckOutput{CacheControl: "no-store"}
	out.Body.Taken = taken
	return out, nil
}

func (s *Server) askAboutNumber(ctx context.Context, in *numberCheckInput) (taken bool, puzzle *captcha.Puzzle, err error) {
	c, err := s.authenticateFirstParty(in.request, in.Body.ClientID, in.Body.ClientSecret)
	if err != nil {
		return false, nil, err
	}
	number, err := s.sms.ParseNumber(in.Body.Phone)
	if err != nil {
		return false, nil, err
	}
	index := number.Index(s.vault)
	if err := s.spendNumberCheck(ctx,
		ephemeral.Limit{Key: "number-check:number:" + base64.RawURLEncoding.EncodeToString(index), Max: checksPerNumber, Per: time.Hour},
		ephemeral.Limit{Key: "number-check:address:" + s.addressKey(user.CallerOf(ctx).Address), Max: checksPerAddress, Per: time.Hour},
	); err != nil {
		return false, nil, err
	}
	binding := captcha.Binding{Flow: []byte("number check|" + c.ID), Number: index, Action: "number check"}
	_, puzzle, err = captcha.Guard(ctx, s.captcha, binding, captcha.Answer{Proof: in.Body.Captcha}, func(human int) (sms.Challenge, error) {
		if human < numberCheckLevel {
			return sms.Challenge{}, sms.ErrHumanCheckRequired.With("level", strconv.Itoa(numberCheckLevel))
		}
		// After the check: anybody can name the client.
		err := s.spendNumberCheck(ctx, ephemeral.Limit{Key: "number-check:client:" + c.ID, Max: checksPerClient, Per: time.Hour})
		if err == nil {
			taken, err = s.users.NumberTaken(ctx, number)
		}
		return sms.Challenge{}, err
	})
	return taken, puzzle, err
}

// authenticateFirstParty is client authentication as at the token endpoint, for
// clients of ours.
func (s *Server) authenticateFirstParty(r *http.Request, clientID, secret string) (*client.Client, error) {
	if clientID == "" {
		return nil, errInvalidRequest.Describe("client_id is required")
	}
	c, err := s.authenticate(r, params{"client_id": clientID, "client_secret": secret})
	if err == nil && !c.FirstParty {
		err = errNotFirstParty
	}
	return c, err
}

// spendNumberCheck counts before anything is answered.
func (s *Server) spendNumberCheck(ctx context.Context, limits ...ephemeral.Limit) error {
	d, err := s.short.Spend(ctx, limits)
	if err != nil {
		return fault.Unavailable.Because(err).After(5 * time.Second)
	}
	if !d.Allowed {
		return sms.ErrRateLimited.After(d.RetryAfter)
	}
	return nil
}

// addressKey names an address (an IPv6 network of 64 bits) to us alone.
func (s *Server) addressKey(a netip.Addr) string { return s.guesses.key("number check", a) }
