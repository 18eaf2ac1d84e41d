package oauth

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user"
)

// errUnmet is OpenID Connect Core Error Code unmet_authentication_requirements 1.0.
var errUnmet = fault.New(http.StatusForbidden, "unmet_authentication_requirements", "the account cannot be signed in to by a requested acr")

// acrRequest is what a client wants to hear of how the person signed in (OpenID
// Connect Core sections 3.1.2.1 and 5.5.1.1, RFC 9470 section 5).
type acrRequest struct {
	Values    []string `json:"v,omitempty"` // of ours, best first; nil for any
	Essential bool     `json:"e,omitempty"` // rather fail than answer with another
}

// readACR takes acr_values, which is a wish, or of claims what is asked of acr in ID
// tokens, which may be a demand. Nothing else of claims is supported. Values that
// are none of ours can only be missed.
func (q *authRequest) readACR(values, claims string) error {
	asked := strings.Fields(values)
	if claims != "" {
		acr, err := parseACRClaim(claims)
		if err != nil {
			return err
		}
		if len(acr.Values) > 0 && (acr.Essential || len(asked) == 0) { // any acr at all is what everybody has
			asked, q.ACR.Essential = acr.Values, acr.Essential
		}
	}
	for _, value := range asked {
		if slices.Contains(acrValues(), value) && !slices.Contains(q.ACR.Values, value) {
			q.ACR.Values = append(q.ACR.Values, value)
		}
	}
	if q.ACR.Essential && len(asked) > 0 && len(q.ACR.Values) == 0 {
		return errUnmet
	}
	return nil
}

// acrValues are all that we know.
func acrValues() []string { return []string{user.ACROneFactor, user.ACRTwoFactors} }

func parseACRClaim(claims string) (acrRequest, error) {
	var parsed struct {
		IDToken struct {
			ACR struct {
				Essential bool     `json:"essential"`
				Value     string   `json:"value"`
				Values    []string `json:"values"`
			} `json:"acr"`
		} `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(claims), &parsed); err != nil {
		return acrRequest{}, errInvalidRequest.Describe("claims is not a claims request (OpenID Connect Core section 5.5)").Because(err)
	}
	acr := parsed.IDToken.ACR
	if acr.Value != "" {
		acr.Values = append([]string{acr.Value}, acr.Values...)
	}
	return acrRequest{Values: acr.Values, Essential: acr.Essential}, nil
}

// prefersTwo says whether one factor is less than the client wants.
func (a acrRequest) prefersTwo() bool { return len(a.Values) > 0 && a.Values[0] == user.ACRTwoFactors }

// demandsTwo says whether one factor does not do.
func (a acrRequest) demandsTwo() bool {
	return a.Essential && a.prefersTwo() && !slices.Contains(a.Values, user.ACROneFactor)
}

// reported is the acr to tell of a session. Who signed in by two factors signed in
// by one as well, which is what a client hears that takes nothing else.
func (a acrRequest) reported(session user.Session) string {
	if a.Essential && len(a.Values) > 0 && !slices.Contains(a.Values, session.ACR) {
		return a.Values[0]
	}
	return session.ACR
}
