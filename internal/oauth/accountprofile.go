package oauth

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dialtone-id/dialtone/internal/user"
)

// profileBody is a person as they describe themselves, under the names of the
// standard claims. What is not there is left out.
type profileBody struct {
	Subject     string    `json:"sub"`
	Nickname    string    `json:"nickname,omitempty"`
	Name        string    `json:"name,omitempty"`
	FamilyName  string    `json:"family_name,omitempty"`
	GivenName   string    `json:"given_name,omitempty"`
	Locale      string    `json:"locale,omitempty" doc:"BCP 47" example:"zh-CN"`
	Picture     string    `json:"picture,omitempty" doc:"Address of a square picture"`
	MaskedPhone string    `json:"masked_phone,omitempty" example:"+86 138****8000"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func profileOf(u user.User) *answer[profileBody] {
	p := user.ProfileOf(u)
	picture, _ := u.Claims["picture"].(string)
	body := profileBody{
		Subject: u.ID, Nickname: p.Nickname, Name: p.Name, FamilyName: p.FamilyName, GivenName: p.GivenName, Locale: p.Locale,
		Picture: picture, UpdatedAt: u.UpdatedAt,
	}
	if !u.Phone.IsZero() {
		body.MaskedPhone = u.Phone.String()
	}
	return &answer[profileBody]{body}
}

// patched is a member of a merge patch (RFC 7396): not sent, or set, or removed by
// null, which to a profile is the same as empty.
type patched struct{ value *string }

// UnmarshalJSON takes a string or null.
func (p *patched) UnmarshalJSON(text []byte) error {
	p.value = new(string)
	return json.Unmarshal(text, p.value)
}

// Schema says so in the OpenAPI document (huma.SchemaProvider).
func (patched) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true}
}

type profileInput struct {
	Body struct {
		Nickname   patched `json:"nickname,omitempty" doc:"At most 50 characters"`
		Name       patched `json:"name,omitempty" doc:"At most 100 characters, as its parts"`
		FamilyName patched `json:"family_name,omitempty"`
		GivenName  patched `json:"given_name,omitempty"`
		Locale     patched `json:"locale,omitempty" doc:"BCP 47"`
	}
}

func (a *accountAPI) profile() {
	serve(a, operation{
		id: "get-profile", method: http.MethodGet, path: "/profile", summary: "Read the profile",
	}, func(_ context.Context, c call, _ *nothing) (*answer[profileBody], error) {
		u, err := c.person(a.s)
		if err != nil {
			return nil, err
		}
		return profileOf(u), nil
	})
	serve(a, operation{
		id: "patch-profile", method: http.MethodPatch, path: "/profile", summary: "Change members of the profile; null or an empty one removes it",
		members: []string{"nickname", "name", "family_name", "given_name", "locale"}, patch: true, change: limited,
	}, func(ctx context.Context, c call, in *profileInput) (*answer[profileBody], error) {
		b := in.Body
		u, err := a.s.users.PatchProfile(ctx, c.userID(), user.ProfilePatch{
			Nickname: b.Nickname.value, Name: b.Name.value, FamilyName: b.FamilyName.value, GivenName: b.GivenName.value, Locale: b.Locale.value,
		})
		if err != nil {
			return nil, err
		}
		return profileOf(u), nil
	})
	picture := operation{
		id: "put-picture", method: http.MethodPut, path: "/picture", summary: "Set the picture: an image of at most 5 MB, which is made square and encoded anew",
		change: func(o *huma.Operation) {
			limited(o)
			o.Errors = append(o.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
		},
	}
	serve(a, picture, func(ctx context.Context, c call, _ *nothing) (*nothing, error) {
		return nil, a.s.users.ReceivePicture(c.w, c.r.WithContext(ctx), c.userID(), func() error {
			if _, err := a.s.accountToken(c.r, picture); err != nil {
				return a.s.bearerProblem(c.r, picture, err)
			}
			return nil
		})
	})
	a.api.OpenAPI().Paths[pathAccountAPI+"/picture"].Put.RequestBody = upload() // told before, huma would read it
	serve(a, operation{
		id: "delete-picture", method: http.MethodDelete, path: "/picture", summary: "Remove the picture",
	}, func(ctx context.Context, c call, _ *nothing) (*nothing, error) {
		_, err := a.s.users.RemovePicture(ctx, c.userID())
		return nil, err
	})
}

// upload is what PUT of a picture takes.
func upload() *huma.RequestBody {
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"image/jpeg": {Schema: binary}, "image/png": {Schema: binary}, "image/gif": {Schema: binary}, "image/webp": {Schema: binary},
		"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{"picture": binary}, Required: []string{"picture"},
		}},
	}}
}
