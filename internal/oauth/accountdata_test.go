package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/dialtone-id/dialtone/internal/db"
)

func TestAccountProfileIsPatched(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		r := h.want(http.StatusOK, http.MethodGet, "/profile", nil)
		if r.text("sub") != h.subject || !strings.HasPrefix(r.text("masked_phone"), "+86 138****") || r.json()["nickname"] != nil {
			t.Fatalf("%s", r.body)
		}
		r = h.want(http.StatusOK, http.MethodPatch, "/profile", map[string]any{"nickname": "  小明\u202e ", "locale": "en", "name": "Ming"})
		if r.text("nickname") != "小明" || r.text("locale") != "en" || r.text("name") != "Ming" {
			t.Errorf("%s", r.body)
		}
		r = h.want(http.StatusOK, http.MethodPatch, "/profile", map[string]any{"name": nil, "locale": ""})
		if r.text("nickname") != "小明" || r.json()["locale"] != nil || r.json()["name"] != nil {
			t.Errorf("%s", r.body)
		}
		if r := h.want(http.StatusOK, http.MethodGet, "/profile", nil); r.text("nickname") != "小明" {
			t.Errorf("%s", r.body)
		}
		before := w.events(t, "user.updated")
		h.want(http.StatusOK, http.MethodPatch, "/profile", map[string]any{"nickname": "小明"})
		if w.events(t, "user.updated") != before {
			t.Error("a change that changes nothing was recorded")
		}
		wantProblem(t, h.api(http.MethodPatch, "/profile", map[string]any{"nickname": strings.Repeat("x", 51)}), 422, "name_too_long")
		wantProblem(t, h.api(http.MethodPatch, "/profile", map[string]any{"nickname": "A", "locale": "<svg>"}), 422, "locale_invalid")
		if r := h.want(http.StatusOK, http.MethodGet, "/profile", nil); r.text("nickname") != "小明" {
			t.Errorf("half of a refused change was made: %s", r.body)
		}
		var through string
		must(t, w.db.QueryRow(t.Context(), `SELECT client_id FROM audit WHERE event = 'user.updated' AND user_id = $1 LIMIT 1`, h.subject).Scan(&through))
		if through != "own" {
			t.Errorf("the record names client %q", through)
		}
	})
}

// Apps on several devices that change different members lose none.
func TestAccountProfilePatchesDoNotUndoEachOther(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		members := []string{"nickname", "name", "family_name", "given_name"}
		for round := range 5 {
			var wait sync.WaitGroup
			for _, m := range members {
				for range 3 {
					wait.Go(func() { h.api(http.MethodPatch, "/profile", map[string]any{m: fmt.Sprint(m, round)}) })
				}
			}
			wait.Wait()
			r := h.want(http.StatusOK, http.MethodGet, "/profile", nil)
			for _, m := range members {
				if r.text(m) != fmt.Sprint(m, round) {
					t.Fatalf("round %d: %s", round, r.body)
				}
			}
		}
	})
}

func pngOf(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewRGBA(image.Rect(0, 0, side, side))))
	return b.Bytes()
}

func TestAccountPicture(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		put := func(contentType string, body []byte) reply {
			t.Helper()
			return h.do(http.MethodPut, "/v1/account/picture", string(body), "Authorization", "Bearer "+h.token, "Content-Type", contentType)
		}
		address := func() string {
			t.Helper()
			return h.want(http.StatusOK, http.MethodGet, "/profile", nil).text("picture")
		}
		if r := put("image/png", pngOf(t, 400)); r.status != http.StatusNoContent || r.body != "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		first := address()
		if r := h.get(first); r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "image/") {
			t.Fatalf("%q: %d", first, r.status)
		} else if c, _, err := image.DecodeConfig(strings.NewReader(r.body)); err != nil || c.Width != 256 || c.Height != 256 {
			t.Errorf("%v %+v", err, c)
		}
		var form bytes.Buffer
		m := multipart.NewWriter(&form)
		part, err := m.CreateFormFile("picture", "x.png")
		must(t, err)
		_, err = part.Write(pngOf(t, 10))
		must(t, err)
		must(t, m.Close())
		if r := put(m.FormDataContentType(), form.Bytes()); r.status != http.StatusNoContent {
			t.Fatalf("%d %s", r.status, r.body)
		}
		second := address()
		if second == first || h.get(first).status != http.StatusNotFound {
			t.Error("the picture before is still there")
		}
		for name, c := range map[string]struct {
			contentType string
			body        []byte
			status      int
			code        string
		}{
			"no image":  {"image/png", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), 422, "picture_unreadable"},
			"nothing":   {"image/png", nil, 422, "picture_missing"},
			"JSON":      {"application/json", []byte(`{}`), 415, "unsupported_media_type"},
			"20 MB":     {"image/png", make([]byte, 20<<20), 413, "picture_too_large"},
			"truncated": {"image/png", pngOf(t, 100)[:60], 422, "picture_unreadable"},
		} {
			r := put(c.contentType, c.body)
			if wantProblem(t, r, c.status, c.code); t.Failed() {
				t.Fatal(name)
			}
		}
		if address() != second {
			t.Error("a refused picture changed something")
		}
		h.want(http.StatusNoContent, http.MethodDelete, "/picture", nil)
		if address() != "" || h.get(second).status != http.StatusNotFound {
			t.Error("the picture is still there")
		}
	})
}

func TestAccountNamesAndPassword(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h, other := w.holder(t, accountScopes), w.holder(t, accountScopes)
		name, mail := "Ming"+h.subject[:6], "ming"+h.subject[:6]+"@example.com"
		h.want(http.StatusNoContent, http.MethodPut, "/username", map[string]any{"username": name})
		h.want(http.StatusNoContent, http.MethodPut, "/email", map[string]any{"email": mail})
		wantProblem(t, other.api(http.MethodPut, "/username", map[string]any{"username": strings.ToUpper(name)}), 409, "username_taken")
		wantProblem(t, other.api(http.MethodPut, "/email", map[string]any{"email": strings.ToUpper(mail)}), 409, "email_taken")
		wantProblem(t, h.api(http.MethodPut, "/username", map[string]any{"username": ""}), 422, "username_invalid")
		wantProblem(t, h.api(http.MethodPut, "/username", map[string]any{"username": "13800138000"}), 422, "username_invalid")
		r := h.want(http.StatusOK, http.MethodGet, "/security", nil)
		if r.text("username") != name || r.text("email") != mail || strings.Contains(r.body, "+861380013") {
			t.Errorf("%s", r.body)
		}
		h.want(http.StatusNoContent, http.MethodDelete, "/username", nil)
		h.want(http.StatusNoContent, http.MethodDelete, "/email", nil)
		other.want(http.StatusNoContent, http.MethodPut, "/username", map[string]any{"username": name})
		for range 12 {
			if r = h.api(http.MethodPut, "/username", map[string]any{"username": name}); r.status == http.StatusTooManyRequests {
				break
			}
		}
		wantProblem(t, r, http.StatusTooManyRequests, "rate_limited")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}

		wantProblem(t, h.api(http.MethodPut, "/password", map[string]any{"password": "12345678"}), 422, "password_common")
		h.want(http.StatusNoContent, http.MethodPut, "/password", map[string]any{"password": "correct horse battery"})
		if has, _, err := w.users.HasPassword(t.Context(), h.subject); err != nil || !has {
			t.Fatal("no password", err)
		}
		// The first one ended nothing; a change ends all, the app's own grant too.
		h.want(http.StatusNoContent, http.MethodPut, "/password", map[string]any{"password": "another horse battery"})
		wantProblem(t, h.api(http.MethodGet, "/profile", nil), http.StatusUnauthorized, "invalid_token")
		q := ownRequest(accountScopes) // the browser that it came from is still signed in
		again := h.redeem(q, q.wantCode(h.authorize(q)))
		h.token = again.text("access_token")
		h.want(http.StatusNoContent, http.MethodDelete, "/password", nil)
		if has, _, err := w.users.HasPassword(t.Context(), h.subject); err != nil || has {
			t.Error("the password is still there", err)
		}
	})
}

// wantsTwoFactors: a sign-in by text message does not overrule an app or a passkey.
func (h *holder) wantsTwoFactors(t *testing.T, method, path string) {
	t.Helper()
	r := h.api(method, path, nil)
	wantProblem(t, r, http.StatusUnauthorized, "insufficient_user_authentication")
	if said := r.header.Get("WWW-Authenticate"); !strings.Contains(said, `acr_values="2"`) {
		t.Errorf("%s %s: %s", method, path, said)
	}
}

// twoFactors makes h's sign-in one of two factors.
func (w *world) twoFactors(t *testing.T, h *holder) {
	t.Helper()
	_, err := w.db.Exec(t.Context(), `UPDATE grants SET acr = '2' WHERE user_id = $1`, h.subject)
	must(t, err)
}

func TestAccountFactors(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		wantProblem(t, h.api(http.MethodPost, "/totp/confirm", map[string]any{"code": "123456"}), 409, "enrolment_missing")
		r := h.want(http.StatusOK, http.MethodPost, "/totp", nil)
		if !strings.HasPrefix(r.text("otpauth_url"), "otpauth://totp/") || strings.Contains(r.body, "+861380013") {
			t.Fatalf("%s", r.body)
		}
		wrong, err := totp.GenerateCode(r.text("secret"), time.Now().Add(time.Hour))
		must(t, err)
		wantProblem(t, h.api(http.MethodPost, "/totp/confirm", map[string]any{"code": wrong}), 422, "factor_incorrect")
		right, err := totp.GenerateCode(r.text("secret"), time.Now())
		must(t, err)
		codes, _ := h.want(http.StatusOK, http.MethodPost, "/totp/confirm", map[string]any{"code": right}).json()["recovery_codes"].([]any)
		if len(codes) != 10 {
			t.Fatalf("%d recovery codes", len(codes))
		}
		h.wantsTwoFactors(t, http.MethodPost, "/recovery-codes")
		h.wantsTwoFactors(t, http.MethodDelete, "/totp")
		h.wantsTwoFactors(t, http.MethodDelete, "/password")
		w.twoFactors(t, h)
		fresh := h.want(http.StatusOK, http.MethodPost, "/recovery-codes", nil)
		if list, _ := fresh.json()["recovery_codes"].([]any); len(list) != 10 || strings.Contains(fresh.body, codes[0].(string)) {
			t.Errorf("%s", fresh.body)
		}
		state := h.want(http.StatusOK, http.MethodGet, "/security", nil).json()
		if state["recovery_codes"] != 10.0 || state["totp"].(map[string]any)["set"] != true {
			t.Errorf("%v", state)
		}
		h.want(http.StatusNoContent, http.MethodDelete, "/totp", nil)
		state = h.want(http.StatusOK, http.MethodGet, "/security", nil).json()
		if state["recovery_codes"] != 0.0 || state["totp"].(map[string]any)["set"] != false {
			t.Errorf("%v", state)
		}
	})
}

// A password is what is phished: beside a number it changes nothing by itself.
func TestAPasswordAloneChangesNothingThroughAnApp(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		_, err := w.db.Exec(t.Context(), `UPDATE grants SET amr = 'pwd' WHERE user_id = $1`, h.subject)
		must(t, err)
		h.wantsTwoFactors(t, http.MethodPost, "/totp")
		h.wantsTwoFactors(t, http.MethodPost, "/recovery-codes")
		h.wantsTwoFactors(t, http.MethodDelete, "/password")
		w.twoFactors(t, h)
		h.want(http.StatusOK, http.MethodPost, "/totp", nil)
	})
}

func TestAccountPasskeys(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h, other := w.holder(t, accountScopes), w.holder(t, accountScopes)
		id := base64.RawURLEncoding.EncodeToString([]byte("credential of " + h.subject))
		_, err := w.db.Exec(t.Context(), `
			INSERT INTO passkeys (id, user_id, name, public_key, sign_count, backup_eligible, backed_up, aaguid, transports, created_at)
			VALUES ($1, $2, 'Phone', $3, 0, $4, $4, '', '', $5)`, id, h.subject, []byte("key"), true, db.Micros(time.Now()))
		must(t, err)
		for _, method := range []string{http.MethodPatch, http.MethodDelete} {
			var body any
			if method == http.MethodPatch {
				body = map[string]any{"name": "Mine"}
			}
			wantProblem(t, other.api(method, "/passkeys/"+id, body), http.StatusNotFound, "not_found")
		}
		h.wantsTwoFactors(t, http.MethodDelete, "/passkeys/"+id)
		w.twoFactors(t, h)
		h.want(http.StatusNoContent, http.MethodPatch, "/passkeys/"+id, map[string]any{"name": "Laptop"})
		if r := h.want(http.StatusOK, http.MethodGet, "/passkeys", nil); !strings.Contains(r.body, `"name":"Laptop"`) {
			t.Errorf("%s", r.body)
		}
		h.want(http.StatusNoContent, http.MethodDelete, "/passkeys/"+id, nil)
		if r := h.want(http.StatusOK, http.MethodGet, "/passkeys", nil); r.body != `{"passkeys":[]}`+"\n" {
			t.Errorf("%s", r.body)
		}
		wantProblem(t, h.api(http.MethodDelete, "/passkeys/"+id, nil), http.StatusNotFound, "not_found")
	})
}

func TestAccountSessions(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.knowTestNumber()
		here, there := w.holderOf(t, testNumber, accountScopes), w.holderOf(t, testNumber, accountScopes)
		stranger := w.holder(t, accountScopes)
		alive := func(h *holder) bool {
			t.Helper()
			return h.api(http.MethodGet, "/profile", nil).status == http.StatusOK
		}
		var list struct{ Sessions []sessionBody }
		must(t, json.Unmarshal([]byte(here.want(http.StatusOK, http.MethodGet, "/sessions", nil).body), &list))
		if len(list.Sessions) != 2 {
			t.Fatalf("%+v", list)
		}
		for _, s := range list.Sessions {
			if s.Current != (s.ID == here.session) {
				t.Errorf("%+v", s)
			}
		}
		wantProblem(t, stranger.api(http.MethodDelete, "/sessions/"+there.session, nil), http.StatusNotFound, "not_found")
		here.want(http.StatusNoContent, http.MethodDelete, "/sessions/"+there.session, nil)
		here.want(http.StatusNoContent, http.MethodDelete, "/sessions/"+there.session, nil)
		if alive(there) || !alive(here) {
			t.Error("the wrong one is signed out")
		}

		// A native app has no session: it keeps its own grant alone.
		phone, tablet, browser := w.nativeHolder(t, testNumber), w.nativeHolder(t, testNumber), w.holderOf(t, testNumber, accountScopes)
		browser.want(http.StatusNoContent, http.MethodPost, "/sessions/end-others", nil)
		if alive(phone) || alive(tablet) || alive(here) || !alive(browser) {
			t.Error("a browser's sign-out elsewhere")
		}
		phone, tablet = w.nativeHolder(t, testNumber), w.nativeHolder(t, testNumber)
		phone.want(http.StatusNoContent, http.MethodPost, "/sessions/end-others", nil)
		if !alive(phone) || alive(tablet) || alive(browser) || !alive(stranger) {
			t.Error("a native app's sign-out elsewhere")
		}
	})
}

func TestAccountApps(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.knowTestNumber()
		h := w.holderOf(t, testNumber, accountScopes)
		q := webRequest()
		web := h.redeem(q, q.wantCode(h.authorize(q)))
		var list struct{ Apps []appBody }
		must(t, json.Unmarshal([]byte(h.want(http.StatusOK, http.MethodGet, "/apps", nil).body), &list))
		if len(list.Apps) != 2 || list.Apps[0].ClientID != "web" || list.Apps[0].ClientName != "Web Shop" || list.Apps[0].Consented {
			t.Fatalf("%+v", list.Apps)
		}
		h.want(http.StatusNoContent, http.MethodDelete, "/apps/web", nil)
		wantProblem(t, h.api(http.MethodDelete, "/apps/web", nil), http.StatusNotFound, "not_found")
		if !h.dead(t, "web", web) {
			t.Error("the app's tokens live on")
		}
		h.want(http.StatusNoContent, http.MethodDelete, "/apps/own", nil)
		wantProblem(t, h.api(http.MethodGet, "/apps", nil), http.StatusUnauthorized, "invalid_token")
	})
}

func TestAccountActivityIsPaged(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h, stranger := w.holder(t, accountScopes), w.holder(t, accountScopes)
		for i := range 7 {
			h.want(http.StatusOK, http.MethodPatch, "/profile", map[string]any{"nickname": fmt.Sprint("n", i)})
		}
		stranger.want(http.StatusOK, http.MethodPatch, "/profile", map[string]any{"nickname": "x"})
		page := func(query string) (b activityBody) {
			t.Helper()
			must(t, json.Unmarshal([]byte(h.want(http.StatusOK, http.MethodGet, "/activity"+query, nil).body), &b))
			return b
		}
		whole := page("?limit=100")
		if whole.Next != "" || len(whole.Events) < 8 {
			t.Fatalf("%+v", whole)
		}
		var parts []eventBody
		for query := "?limit=3"; ; {
			p := page(query)
			parts = append(parts, p.Events...)
			if p.Next == "" {
				break
			}
			query = "?limit=3&before=" + url.QueryEscape(p.Next)
		}
		if fmt.Sprint(parts) != fmt.Sprint(whole.Events) {
			t.Errorf("in parts %d, whole %d", len(parts), len(whole.Events))
		}
		if empty := page("?before=nonsense"); len(empty.Events) != 0 {
			t.Errorf("%+v", empty)
		}
		for _, limit := range []string{"0", "101", "-1", "x"} {
			wantProblem(t, h.api(http.MethodGet, "/activity?limit="+limit, nil), http.StatusUnprocessableEntity, "invalid_request")
		}
	})
}

func TestAccountExportAndDeletion(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.knowTestNumber()
		h := w.holderOf(t, testNumber, accountScopes)
		if r := h.want(http.StatusOK, http.MethodGet, "/agreements", nil); !strings.HasPrefix(r.body, `{"agreements":[`) {
			t.Errorf("%s", r.body)
		}
		var (
			mu    sync.Mutex
			wait  sync.WaitGroup
			count = map[int]int{}
		)
		for range 8 {
			wait.Go(func() {
				r := h.api(http.MethodPost, "/export", nil)
				mu.Lock()
				defer mu.Unlock()
				count[r.status]++
				switch r.status {
				case http.StatusOK:
					if r.header.Get("Content-Type") != "application/json" || r.json()["sub"] != h.subject || r.header.Get("Cache-Control") != "no-store" {
						t.Errorf("%v %.200s", r.header, r.body)
					}
				case http.StatusTooManyRequests:
					if r.header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
				}
			})
		}
		wait.Wait()
		if count[http.StatusOK] != 1 || count[http.StatusTooManyRequests] != 7 || w.events(t, "user.exported") != 1 {
			t.Errorf("%v", count)
		}

		r := h.want(http.StatusAccepted, http.MethodPost, "/deletion", nil)
		due, err := time.Parse(time.RFC3339Nano, r.text("erased_at"))
		if err != nil || time.Until(due) < 6*24*time.Hour {
			t.Errorf("%s %v", r.body, err)
		}
		wantProblem(t, h.api(http.MethodPost, "/deletion", nil), http.StatusUnauthorized, "invalid_token")
		if w.events(t, "account.deletion_requested") != 1 {
			t.Error("not recorded")
		}
	})
}
