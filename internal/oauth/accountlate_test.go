package oauth

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// late is a body that begins to come only after something happened.
type late struct {
	io.Reader
	before func()
}

func (l late) Read(b []byte) (int, error) {
	l.before()
	return l.Reader.Read(b)
}

// A request whose body was held back is judged by what holds when it is there.
func TestAccountAPIJudgesAfterTheBody(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct{ method, path, contentType, body, event string }{
			"profile":  {http.MethodPatch, "/profile", "application/json", `{"nickname":"A"}`, "user.updated"},
			"password": {http.MethodPut, "/password", "application/json", `{"password":"` + aPassword + `"}`, "user.password_set"},
			"picture":  {http.MethodPut, "/picture", "image/png", string(pngOf(t, 100)), "user.updated"},
		} {
			for how, end := range map[string]func(h *holder){
				"disabled":   func(h *holder) { must(t, w.users.Disable(t.Context(), h.subject)) },
				"signed out": func(h *holder) { must(t, w.users.SignOutSession(t.Context(), h.subject, h.session)) },
			} {
				h, before := w.holder(t, accountScopes), w.events(t, c.event)
				// The body is sent when the server asks for it.
				r, err := http.NewRequest(c.method, w.url+"/v1/account"+c.path, late{strings.NewReader(c.body), sync.OnceFunc(func() { end(h) })})
				must(t, err)
				r.ContentLength = int64(len(c.body))
				r.Header = http.Header{"Authorization": {"Bearer " + h.token}, "Content-Type": {c.contentType}, "Expect": {"100-continue"}}
				res, err := h.c.Do(r)
				must(t, err)
				var told problem
				must(t, json.NewDecoder(res.Body).Decode(&told))
				must(t, res.Body.Close())
				if res.StatusCode != http.StatusUnauthorized || told.Code != "invalid_token" || !strings.Contains(res.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s, %s: %d %+v %v", name, how, res.StatusCode, told, res.Header)
				}
				if w.events(t, c.event) != before {
					t.Errorf("%s, %s: it was changed", name, how)
				}
			}
		}
	})
}
