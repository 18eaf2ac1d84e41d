package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// pathOpenAPI is where the JSON operations for apps describe themselves.
const pathOpenAPI = "/v1/openapi.json"

// openAPI serves the OpenAPI 3.1 document. It is written when somebody first asks:
// most servers are never asked, and it is larger than all they keep of it.
func (s *Server) openAPI(api huma.API) http.HandlerFunc {
	written := sync.OnceValues(func() (document, error) {
		body, err := json.MarshalIndent(s.describeAPI(api), "", "  ")
		if err != nil {
			return document{}, fmt.Errorf("write the OpenAPI document: %w", err)
		}
		sum := sha256.Sum256(body)
		return document{body: append(body, '\n'), etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}, nil
	})
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := written()
		if err != nil {
			s.writeProblem(w, r, err)
			return
		}
		serveDocument(w, r, d)
	}
}

// describeAPI adds what the operations cannot know: where the server is, and where
// tokens come from.
func (s *Server) describeAPI(api huma.API) *huma.OpenAPI {
	described := *api.OpenAPI()
	described.Servers = []*huma.Server{{URL: s.issuer}}
	components := *described.Components
	components.SecuritySchemes = map[string]*huma.SecurityScheme{"oauth": {
		Type: "openIdConnect", OpenIDConnectURL: s.issuer + pathOpenID,
		Description: "An access token of a first-party client for a person, in the Authorization header",
	}}
	described.Components = &components
	return &described
}

// describeProblems puts what refusals are in the place of what the library takes
// them for. It comes after the last operation.
func describeProblems(api *huma.OpenAPI) {
	schemas := api.Components.Schemas
	refusal := schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	for _, item := range api.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if o == nil {
				continue
			}
			for _, answer := range o.Responses {
				if content := answer.Content["application/problem+json"]; content != nil {
					content.Schema = refusal
				}
			}
		}
	}
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} {
		delete(schemas.Map(), unused)
	}
}
