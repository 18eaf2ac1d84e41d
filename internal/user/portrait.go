package user

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/user/picture"
)

// pathPicture is where pictures are served, followed by their id.
const pathPicture = "/account/picture/"

// picturesPer10m are the images that a person may send: decoding one is the dearest
// thing that anybody can ask for.
const picturesPer10m = 10

// SetPicture makes the image that r reads the person's picture, in place of the
// one before, and its address their claim "picture". The id in the address is
// random and new each time: nobody finds a picture without having been told of
// it, and an address never shows another. Faults: ErrTooManyTries, picture.Maker's.
func (s *Service) SetPicture(ctx context.Context, userID string, r io.Reader) (User, error) {
	if err := s.spendOwn(ctx, "picture", userID, picturesPer10m, 10*time.Minute); err != nil {
		return User{}, err
	}
	made, err := s.pictures.Square(ctx, r)
	if err != nil {
		return User{}, err
	}
	var raw [16]byte
	rand.Read(raw[:])
	id := base64.RawURLEncoding.EncodeToString(raw[:])
	var u User
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if u, err = s.update(ctx, userID, "user:"+userID, map[string]any{"picture": s.issuer + pathPicture + id}); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `
			INSERT INTO pictures (user_id, id, type, data, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, type = excluded.type, data = excluded.data, created_at = excluded.created_at`,
			userID, id, made.Type, made.Data, db.Micros(time.Now())); err != nil {
			return fmt.Errorf("keep picture: %w", err)
		}
		return nil
	})
	return u, err
}

// RemovePicture forgets the person's picture and the claim, also one that leads
// elsewhere. Without a picture it changes nothing.
func (s *Service) RemovePicture(ctx context.Context, userID string) (User, error) {
	var u User
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		var err error
		if u, err = s.update(ctx, userID, "user:"+userID, map[string]any{"picture": nil}); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM pictures WHERE user_id = $1`, userID); err != nil {
			return fmt.Errorf("remove picture: %w", err)
		}
		return nil
	})
	return u, err
}

// Picture returns the picture of that id; db.ErrNotFound if it was replaced or
// removed, or its person is not active any more.
func (s *Service) Picture(ctx context.Context, id string) (picture.Picture, error) {
	var p picture.Picture
	err := s.db.QueryRow(ctx, `
		SELECT p.type, p.data FROM pictures p JOIN users u ON u.id = p.user_id WHERE p.id = $1 AND u.status = 'active'`, id).
		Scan(&p.Type, &p.Data)
	if err != nil {
		return picture.Picture{}, fmt.Errorf("read picture: %w", err)
	}
	return p, nil
}

// picturePath is where u's picture is served on this very host; "" for none, or
// for one of elsewhere, which our pages do not load.
func (s *Service) picturePath(u User) string {
	address, _ := u.Claims["picture"].(string)
	if path, ok := strings.CutPrefix(address, s.issuer); ok && strings.HasPrefix(path, pathPicture) {
		return path
	}
	return ""
}
