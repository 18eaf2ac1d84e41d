package oauth

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// docs/openapi.json is what /v1/openapi.json answers, but for the address.
// UPDATE_GOLDEN=1 writes it.
func TestOpenAPIDocumentIsChecked(t *testing.T) {
	w := newWorld(t)
	r := w.browser(t).get("/v1/openapi.json")
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" || r.header.Get("ETag") == "" {
		t.Fatalf("%d %v", r.status, r.header)
	}
	if again := w.browser(t).get("/v1/openapi.json", "If-None-Match", r.header.Get("ETag")); again.status != http.StatusNotModified {
		t.Errorf("again: %d", again.status)
	}
	got := bytes.ReplaceAll([]byte(r.body), []byte(w.url), []byte("https://id.example.com"))
	if !json.Valid(got) {
		t.Fatal("not JSON")
	}
	const path = "../../docs/openapi.json"
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is served; UPDATE_GOLDEN=1 writes it", path)
	}
	ids := map[string]bool{}
	var d struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Security    []map[string][]string
		}
	}
	must(t, json.Unmarshal(got, &d))
	if d.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", d.OpenAPI)
	}
	for path, methods := range d.Paths {
		for method, o := range methods {
			if o.OperationID == "" || ids[o.OperationID] {
				t.Errorf("%s %s: operationId %q", method, path, o.OperationID)
			}
			ids[o.OperationID] = true
			if strings.HasPrefix(path, "/v1/account") == (len(o.Security) == 0) {
				t.Errorf("%s %s: security %v", method, path, o.Security)
			}
		}
	}
}

// apiDocument is what the tests read of docs/openapi.json.
type apiDocument struct {
	Paths map[string]map[string]struct {
		RequestBody struct{ Content map[string]any }
		Responses   map[string]struct {
			Content map[string]struct{ Schema apiSchema }
		}
	}
	Components struct{ Schemas map[string]apiSchema }
}

type apiSchema struct {
	Ref        string `json:"$ref"`
	Required   []string
	Properties map[string]json.RawMessage
}

func readDocument(t testing.TB) (d apiDocument) {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.json")
	must(t, err)
	must(t, json.Unmarshal(text, &d))
	return d
}

func (d apiDocument) schema(s apiSchema) apiSchema {
	if s.Ref != "" {
		return d.Components.Schemas[path.Base(s.Ref)]
	}
	return s
}

// What an app decides by, and the human check, are in the schema of every refusal.
func TestOpenAPIDescribesProblems(t *testing.T) {
	d, refusals := readDocument(t), 0
	for path, methods := range d.Paths {
		for method, operation := range methods {
			for status, answer := range operation.Responses {
				if status < "400" {
					continue
				}
				refusals++
				s := d.schema(answer.Content["application/problem+json"].Schema)
				for _, name := range []string{"type", "title", "status", "code", "detail"} {
					if !slices.Contains(s.Required, name) {
						t.Fatalf("%s %s, %s: %s is not required", method, path, status, name)
					}
				}
				if s.Properties["captcha"] == nil || s.Properties["params"] == nil {
					t.Fatalf("%s %s, %s: %v", method, path, status, s.Properties)
				}
			}
			if strings.HasPrefix(path, "/v1/account") && operation.Responses["400"].Content == nil { // any token can be malformed
				t.Errorf("%s %s cannot answer 400", method, path)
			}
		}
	}
	if refusals < 100 {
		t.Errorf("%d refusals", refusals)
	}
	if d.Paths["/v1/account/profile"]["patch"].RequestBody.Content["application/merge-patch+json"] == nil {
		t.Error("a merge patch is not described")
	}
	for path, wanted := range map[string]bool{"/v1/account/username": true, "/v1/account/email": true, "/v1/account/passkeys/{id}": false} {
		if _, has := d.Paths[path]["delete"].Responses["429"]; has != wanted {
			t.Errorf("DELETE %s: 429 is described: %v", path, has)
		}
		if _, has := d.Paths[path]["delete"].Responses["422"]; has {
			t.Errorf("DELETE %s has nothing that 422 could be about", path)
		}
	}
}

// A member that the document requires is required, and missing costs nothing.
func TestAccountAPIRequiresMembers(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		w.addPasskey(t, h.subject)
		_, err := w.db.Exec(t.Context(), `UPDATE grants SET acr = '2' WHERE user_id = $1`, h.subject)
		must(t, err)
		list, err := w.users.Passkeys(t.Context(), h.subject)
		must(t, err)
		for range 20 { // more than there are tries
			wantProblem(t, h.api(http.MethodPost, "/totp/confirm", map[string]any{}), 422, "invalid_request")
		}
		for path, method := range map[string]string{
			"/passkeys/" + list[0].ID: http.MethodPatch, "/username": http.MethodPut, "/email": http.MethodPut, "/password": http.MethodPut, "/phone": http.MethodPut,
		} {
			wantProblem(t, h.api(method, path, map[string]any{}), 422, "invalid_request")
		}
		now, err := w.users.Passkeys(t.Context(), h.subject)
		must(t, err)
		if now[0].Name != list[0].Name || now[0].Name == "" {
			t.Errorf("the passkey's name is %q", now[0].Name)
		}
	})
}

// What a message may name is told besides the code.
func TestProblemsTellParameters(t *testing.T) {
	w := newWorld(t)
	h := w.holder(t, accountScopes)
	r := h.api(http.MethodPatch, "/profile", map[string]any{"nickname": strings.Repeat("x", 51)})
	wantProblem(t, r, 422, "name_too_long")
	if p, _ := r.json()["params"].(map[string]any); p["field"] != "nickname" || p["n"] != "50" {
		t.Errorf("%s", r.body)
	}
}

// wantDescribed checks a refusal against the document: status and members. Addresses
// and methods that it does not have are not described.
func wantDescribed(t testing.TB, r reply) {
	t.Helper()
	d := readDocument(t)
	method, asked, _ := strings.Cut(r.asked, " ")
	for template, methods := range d.Paths {
		operation, known := methods[strings.ToLower(method)]
		if matches, err := path.Match(strings.NewReplacer("{id}", "*", "{client_id}", "*").Replace(template), asked); err != nil || !matches || !known {
			continue
		}
		answer, known := operation.Responses[strconv.Itoa(r.status)]
		if !known {
			t.Errorf("%s answers %d, which is not in the document", r.asked, r.status)
			continue
		}
		s, sent := d.schema(answer.Content["application/problem+json"].Schema), r.json()
		for _, name := range s.Required {
			if sent[name] == nil {
				t.Errorf("%s: %s is required, %s", r.asked, name, r.body)
			}
		}
		for name := range sent {
			if s.Properties[name] == nil {
				t.Errorf("%s: member %s is not in the document", r.asked, name)
			}
		}
	}
}
