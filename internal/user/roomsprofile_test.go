package user

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/user/picture"
)

func TestTheProfileIsSavedOrShownAgain(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	name := strings.Repeat("👩🏽‍🚀", 24) + "قمر\u200f 小满 <b>&" + strings.Repeat("x", 15)
	if n := characters(name); n != 50 {
		t.Fatalf("the test's name has %d characters", n)
	}
	form := url.Values{"nickname": {name}, "name": {""}, "family_name": {" 张 "}, "given_name": {""}, "locale": {"en"}}
	to := b.post("/account/profile", form).to(t)
	if to.String() != "/account/profile?done=profile" {
		t.Fatalf("saved to %s", to)
	}
	r := b.get(to.String())
	r.wants(t, http.StatusOK, "save-profile")
	if !strings.Contains(r.body, "Saved.") || !strings.Contains(r.body, `lang="en"`) || !strings.Contains(r.body, `value="张"`) ||
		strings.Contains(r.body, "<b>") {
		t.Errorf("the page after saving: %s", r.body)
	}
	if home := b.get("/account").body; !strings.Contains(home, "<bdi>"+strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;").Replace(name)+"</bdi>") {
		t.Errorf("the greeting: %s", home)
	}
	form.Set("nickname", name+"!")
	r = b.post("/account/profile", form)
	r.wants(t, http.StatusUnprocessableEntity, "nickname-error")
	if !strings.Contains(r.body, "50 characters") || !strings.Contains(r.body, "!\"") || !strings.Contains(r.body, `href="/account/profile?lang=zh-CN"`) {
		t.Errorf("too long: %s", r.body)
	}
	form.Set("nickname", "")
	form.Set("locale", "nonsense!")
	b.post("/account/profile", form).wants(t, http.StatusUnprocessableEntity, "locale-error")
	form.Set("locale", "")
	b.post("/account/profile", form).to(t)
	if u := h.only(t); u.Claims["nickname"] != nil || u.Claims["locale"] != nil || u.Claims["family_name"] != "张" {
		t.Errorf("claims %v", u.Claims)
	}
}

// only is the account of a house that has one.
func (h *house) only(t *testing.T) User {
	t.Helper()
	list, err := h.users.List(t.Context(), "", 2)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d accounts, %v", len(list), err)
	}
	return list[0]
}

// The language of an account is that of its pages in a browser without one.
func TestTheAccountsLanguageIsForNewBrowsers(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	if _, err := h.users.SaveProfile(t.Context(), h.only(t).ID, Profile{Locale: "en-GB"}); err != nil {
		t.Fatal(err)
	}
	if r := b.get("/account"); !strings.Contains(r.body, `<html lang="en">`) {
		t.Errorf("in %s", r.header.Get("Content-Language"))
	}
	if r := b.get("/account?lang=zh-CN"); !strings.Contains(r.body, `<html lang="zh-CN">`) {
		t.Errorf("chosen here, in %s", r.header.Get("Content-Language"))
	}
	if r := b.get("/account"); !strings.Contains(r.body, `<html lang="zh-CN">`) {
		t.Errorf("chosen before, in %s", r.header.Get("Content-Language"))
	}
}

func TestPicturesAreTakenAndServed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		if to := b.upload("picture", portrait(t)).to(t); to.String() != "/account/profile?done=picture" {
			t.Fatalf("taken to %s", to)
		}
		path := h.users.picturePath(h.only(t))
		if r := b.get("/account/profile?done=picture"); !strings.Contains(r.body, `src="`+path+`"`) || !strings.Contains(r.body, `class="done"`) {
			t.Errorf("the page: %s", r.body)
		}
		r := h.browser().get(path) // anybody
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "image/png" || !strings.HasPrefix(r.body, "\x89PNG") ||
			r.header.Get("Cache-Control") != "private, max-age=31536000, immutable" || r.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" ||
			len(r.header["Set-Cookie"]) != 0 {
			t.Errorf("%d %v", r.status, r.header)
		}
		for name, c := range map[string]struct {
			reply  reply
			status int
			id     string
		}{
			"no image":      {b.upload("picture", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")), 422, "picture-error"},
			"half an image": {b.upload("picture", portrait(t)[:60]), 422, "picture-error"},
			"nothing":       {b.upload("picture", nil), 422, "picture-error"},
			"another field": {b.upload("file", portrait(t)), 422, "picture-error"},
			"too much":      {b.upload("picture", make([]byte, picture.MaxBytes+1)), 413, "picture-error"},
			"20 MB":         {b.upload("picture", make([]byte, 20<<20)), 413, "picture-error"},
			"another form":  {b.post("/account/picture", url.Values{"picture": {"x"}}), 415, "page-error"},
			"no parts":      {b.postRaw("/account/picture", "hello", "Content-Type", "multipart/form-data; boundary=x"), 422, "picture-error"},
			"cut off":       {b.postRaw("/account/picture", "--x\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"a\"\r\n\r\n\x89PNG", "Content-Type", "multipart/form-data; boundary=x"), 400, "page-error"},
		} {
			t.Run(name, func(t *testing.T) { c.reply.wants(t, c.status, c.id) })
		}
		if h.browser().get(path).status != http.StatusOK {
			t.Error("a refused picture took the place of the good one")
		}
		for range 2 {
			if to := b.post("/account/picture/remove", url.Values{}).to(t); to.String() != "/account/profile?done=picture_removed" {
				t.Errorf("removed to %s", to)
			}
		}
		for _, gone := range []string{path, pathPicture + "x", pathPicture + "remove", pathPicture + "%00"} {
			if r := b.get(gone); r.status != http.StatusNotFound || strings.Contains(r.header.Get("Cache-Control"), "public") {
				t.Errorf("%s: %d %v", gone, r.status, r.header)
			}
		}
	})
}

// A browser that sends 20 MB over a socket reads the page, not a broken connection.
func TestAnUploadThatIsTooLargeIsAnswered(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	PlainHTTP(true)(h.users)
	in := h.signIn(fixture(0))
	server := httptest.NewServer(h.handler)
	defer server.Close()
	for name, chunked := range map[string]bool{"with a length": false, "without a length": true} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("picture", "me.png")
		if err == nil {
			_, err = part.Write(make([]byte, 20<<20))
		}
		if err != nil || form.Close() != nil {
			t.Fatal(err)
		}
		var sent io.Reader = &body
		if chunked {
			sent = io.MultiReader(&body)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/account/picture", sent)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", form.FormDataContentType())
		r.Header.Set("Cookie", sessionCookie+"="+in.Secret)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		page, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || !bytes.Contains(page, []byte("picture-error")) {
			t.Errorf("%s: %d, %v", name, res.StatusCode, err)
		}
	}
}
