package engine

import (
	"context"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// work is the unit of work of one request. It rides in the context through fosite, whose
// handlers and our strategies and store meet in it, and it is what gets committed.
type work struct {
	now       time.Time
	client    registered
	grantType string
	form      url.Values
	check     CodeCheck
	key       string       // thumbprint of the DPoP key that the request proved
	refusal   *fault.Error // what this grant answers to whatever is wrong with its token

	authorization *Authorization // Code: what the code will hold
	stored        *fosite.Request
	pkceReached   bool // authorization_code: everything but the verifier was right

	code   sealedCode  // authorization_code: the code, opened
	grant  grant.Grant // whom and what the tokens are for; no ID for client credentials
	signed Person      // SMS-code grant

	presented int64 // refresh_token: the generation that came
	rotate    bool  // refresh_token: it is the newest, so it must be moved

	accessToken string // as signed, for at_hash
	failure     error  // a store that failed; fosite's own words for it are of no use
}

type workKey struct{}

func (w *work) in(ctx context.Context) context.Context { return context.WithValue(ctx, workKey{}, w) }

// workOf is the unit of work that Code or Token put into the context.
func workOf(ctx context.Context) *work { return ctx.Value(workKey{}).(*work) }

// revokeTime bounds what is done although the request failed.
const revokeTime = 5 * time.Second

// detached is a context for what must be done although the request fails and even if the
// caller hangs up meanwhile.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
}

// registered shows a client to fosite.
type registered struct {
	*client.Client
	audience []string
}

var _ fosite.Client = registered{}

func (r registered) GetID() string                      { return r.ID }
func (r registered) GetHashedSecret() []byte            { return nil } // the client is authenticated before
func (r registered) GetRedirectURIs() []string          { return r.RedirectURIs }
func (r registered) GetGrantTypes() fosite.Arguments    { return r.GrantTypes }
func (r registered) GetResponseTypes() fosite.Arguments { return r.ResponseTypes }
func (r registered) GetScopes() fosite.Arguments        { return r.Scopes() }
func (r registered) IsPublic() bool                     { return r.Public() }
func (r registered) GetAudience() fosite.Arguments      { return r.audience }
