package user

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/web"
)

const pathDelete = "/account/delete"

var errNoReceipt = fault.New(http.StatusNotFound, "not_found", "this is not a receipt of ours")

// showDelete is GET /account/delete: what goes, what stays and why, and when. Who
// they are is asked before, so that one more button does it.
func (p *Pages) showDelete(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	if ok, err := p.fresh(w, r, s, pathDelete); !ok {
		return err
	}
	masked := ""
	if !u.Phone.IsZero() {
		masked = u.Phone.String()
	}
	var until time.Time
	if p.Users.deletionDelay > 0 {
		until = time.Now().Add(p.Users.deletionDelay)
	}
	p.Site.Render(w, r, http.StatusOK, web.Delete{
		Common:  web.Common{RequestID: CallerOf(r.Context()).RequestID},
		Session: s.ID, Masked: masked, Until: until,
	})
	return nil
}

// deleteAccount is POST /account/delete.
func (p *Pages) deleteAccount(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	if due, err := p.Users.closedBy(r); err == nil { // the button was pressed twice
		p.seeReceipt(w, r, due)
		return nil
	} else if !isNotFound(err) {
		return err
	}
	s, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	if form.Get("decision") != "yes" {
		see(w, r, "/account", nil)
		return nil
	}
	if form.Get("session") != s.ID { // the page was about somebody else
		see(w, r, pathDelete, nil)
		return nil
	}
	if ok, err := p.fresh(w, r, s, pathDelete); !ok {
		return err
	}
	due, err := p.Users.RequestDeletion(r.Context(), u.ID)
	if err != nil {
		return err
	}
	p.Users.ClearCookie(w)
	p.seeReceipt(w, r, due)
	return nil
}

// closedBy returns when the account is erased whose session the request brings,
// if that account is closing: the session itself is over. db.ErrNotFound otherwise.
func (s *Service) closedBy(r *http.Request) (time.Time, error) {
	value, _ := s.cookies.read(r, sessionCookie)
	id, secret, _ := strings.Cut(value, ".")
	given := sha256.Sum256([]byte(secret))
	var at int64
	var hash []byte
	err := s.db.QueryRow(r.Context(), `
		SELECT u.closes_at, s.secret_hash FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.id = $1 AND u.status = 'closing'`, id).Scan(&at, &hash)
	if err == nil && subtle.ConstantTimeCompare(given[:], hash) != 1 {
		err = db.ErrNotFound
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("find the session that closed an account: %w", err)
	}
	return time.UnixMicro(at), nil
}

// labelReceipt seals what a receipt says, so that it lives on without a session
// and nobody can make one up.
const labelReceipt = "deletion receipt"

func (p *Pages) seeReceipt(w http.ResponseWriter, r *http.Request, due time.Time) {
	said := binary.BigEndian.AppendUint64(nil, uint64(due.UnixMicro()))
	sealed := p.Users.vault.Seal(labelReceipt, said, nil)
	see(w, r, "/account/deleted", url.Values{"receipt": {base64.RawURLEncoding.EncodeToString(sealed)}})
}

// showDeleted is GET /account/deleted: the receipt.
func (p *Pages) showDeleted(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(form.Get("receipt"))
	if err != nil {
		return errNoReceipt
	}
	said, err := p.Users.vault.Open(labelReceipt, sealed, nil)
	if err != nil || len(said) != 8 {
		return errNoReceipt
	}
	until := time.UnixMicro(int64(binary.BigEndian.Uint64(said)))
	if until.Before(time.Now()) {
		until = time.Time{}
	}
	p.Site.Render(w, r, http.StatusOK, web.Deleted{
		Common: web.Common{RequestID: CallerOf(r.Context()).RequestID}, Until: until,
	})
	return nil
}
