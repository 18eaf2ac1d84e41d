package oauth

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
)

// problem is RFC 9457 problem details with the fault's stable code as an
// extension member. type stays about:blank, so title is the status's phrase.
type problem struct {
	Type   string `json:"type" example:"about:blank"`
	Title  string `json:"title" example:"Too Many Requests"`
	Status int    `json:"status" example:"429"`
	Code   string `json:"code" doc:"Stable and machine-readable; decide by this" example:"sms_too_soon"`
	Detail string `json:"detail" doc:"One English sentence for developers"`

	Params map[string]string `json:"params,omitempty" doc:"What a message for people may name, such as n or field"`

	// Captcha is there with captcha_required and captcha_failed: the same request with its proof may go through.
	Captcha *captcha.Puzzle `json:"captcha,omitempty" doc:"Human check to solve, by its type"`

	headers http.Header
}

// problemOf turns err into what is written, headers included.
func (s *Server) problemOf(r *http.Request, err error) *problem {
	f := s.told(r.Context(), err)
	p := &problem{
		Type: "about:blank", Title: http.StatusText(f.Status), Status: f.Status, Code: f.Code, Detail: f.Description, Params: f.Params,
		headers: http.Header{"Cache-Control": {"no-store"}},
	}
	if f.RetryAfter > 0 {
		p.headers.Set("Retry-After", strconv.Itoa(seconds(f.RetryAfter)))
	}
	if f.Status == http.StatusUnauthorized {
		p.headers.Set("WWW-Authenticate", basicChallenge)
	}
	return p
}

// writeProblem answers err as problem details.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	s.putProblem(w, s.problemOf(r, err))
}

func (s *Server) putProblem(w http.ResponseWriter, p *problem) {
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	text, err := json.Marshal(p)
	if err != nil {
		p.Status, text = http.StatusInternalServerError, []byte(`{"code":"`+fault.Internal.Code+`"}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(text) // the caller hung up; there is nobody left to tell
}

// The methods below let a huma handler return a problem as its error.

func (p *problem) Error() string           { return p.Code + ": " + p.Detail }
func (p *problem) GetStatus() int          { return p.Status }
func (p *problem) GetHeaders() http.Header { return p.headers }

// ContentType is asked by huma for the media type of what it is about to write.
func (p *problem) ContentType(string) string { return "application/problem+json" }
