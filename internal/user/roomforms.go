package user

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/web"
)

// showProfile is GET /account/profile.
func (p *Pages) showProfile(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	p.renderProfile(w, r, u, http.StatusOK, ProfileOf(u), nil)
	return nil
}

func (p *Pages) renderProfile(w http.ResponseWriter, r *http.Request, u User, status int, typed Profile, bad *web.Problem) {
	said := ""
	if r.Method != http.MethodPost {
		said = done(r)
	}
	p.Site.Render(w, r, status, web.AccountProfile{
		Common: p.room(r, u), Picture: p.Users.picturePath(u), Nickname: typed.Nickname, Name: typed.Name,
		FamilyName: typed.FamilyName, GivenName: typed.GivenName, Locale: typed.Locale, Done: said, Problem: bad,
	})
}

// saveProfile is POST /account/profile. The language is this browser's from then on.
func (p *Pages) saveProfile(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	form, err := parse(r)
	if err != nil {
		return err
	}
	typed := Profile{
		Nickname: form.Get("nickname"), Name: form.Get("name"), FamilyName: form.Get("family_name"),
		GivenName: form.Get("given_name"), Locale: form.Get("locale"),
	}
	if _, err := p.Users.SaveProfile(r.Context(), u.ID, typed); err != nil {
		bad, ok := shown(err)
		if !ok {
			return unknownIsGone(err)
		}
		field := strings.ReplaceAll(bad.Params["field"], "_", "-")
		p.renderProfile(w, r, u, bad.Status, typed, problem(bad, field))
		return nil
	}
	p.Site.Choose(w, typed.Locale)
	seeRoom(w, r, "/account/profile", "profile")
	return nil
}

// savePicture is POST /account/picture, the one form that is multipart/form-data.
func (p *Pages) savePicture(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	err = p.Users.ReceivePicture(w, r, u.ID, func() error {
		_, _, err := p.Users.SessionOf(r)
		return err
	})
	if err == nil {
		seeRoom(w, r, "/account/profile", "picture")
		return nil
	}
	var bad *fault.Error
	if errors.As(err, &bad) && bad.Code != errMalformed.Code && bad.Code != errMediaType.Code {
		p.renderProfile(w, r, u, bad.Status, ProfileOf(u), problem(bad, "picture"))
		return nil
	}
	return unknownIsGone(err)
}

// removePicture is POST /account/picture/remove.
func (p *Pages) removePicture(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	if _, err := p.Users.RemovePicture(r.Context(), u.ID); err != nil {
		return unknownIsGone(err)
	}
	seeRoom(w, r, "/account/profile", "picture_removed")
	return nil
}

// servePicture is GET /account/picture/ID, for everybody who knows the address:
// clients show it on their pages. What an address shows never changes, so a browser
// may keep it; a shared cache may not, it would not notice an erasure.
func (p *Pages) servePicture(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	made, err := p.Users.Picture(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		if !isNotFound(err) {
			p.fail(w, r, err)
			return
		}
		h.Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	}
	h.Set("Content-Type", made.Type)
	h.Set("Content-Length", strconv.Itoa(len(made.Data)))
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	_, _ = w.Write(made.Data)
}

// showPrivacy is GET /account/privacy.
func (p *Pages) showPrivacy(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	return p.renderPrivacy(w, r, u, http.StatusOK, nil)
}

func (p *Pages) renderPrivacy(w http.ResponseWriter, r *http.Request, u User, status int, bad *web.Problem) error {
	ctx := r.Context()
	apps, err := p.Users.Apps(ctx, u.ID)
	if err != nil {
		return err
	}
	agreements, err := p.Users.Agreements(ctx, u.ID)
	if err != nil {
		return err
	}
	page := web.AccountPrivacy{
		Common:   p.room(r, u),
		Consents: slices.DeleteFunc(apps, func(a web.ConnectedApp) bool { return !a.Consent }),
		Problem:  bad,
	}
	if r.Method != http.MethodPost {
		page.Done = done(r)
	}
	for _, a := range slices.Backward(agreements) {
		name, err := p.Users.clientName(ctx, a.ClientID)
		if err != nil {
			return err
		}
		page.Agreements = append(page.Agreements, web.AgreementLine{Version: a.Version, At: a.AgreedAt, App: name})
	}
	p.Site.Render(w, r, status, page)
	return nil
}

// export is POST /account/privacy/export: the file, for a person who proved
// lately who they are.
func (p *Pages) export(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	if ok, err := p.fresh(w, r, s, "/account/privacy"); !ok {
		return err
	}
	text, err := p.Users.ExportOwn(r.Context(), u.ID)
	if err != nil {
		if bad, ok := shown(err); ok {
			return p.renderPrivacy(w, r, u, bad.Status, problem(bad, ""))
		}
		return unknownIsGone(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Content-Disposition", `attachment; filename="dialtone-`+time.Now().UTC().Format(time.DateOnly)+`.json"`)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(text)
	return nil
}
