package user

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// What a ceremony with a passkey can be refused for.
var (
	// ErrPasskeysOff says that the operator has none, or that the issuer's host is
	// an address, for which no browser makes a passkey.
	ErrPasskeysOff = fault.New(http.StatusNotFound, "passkeys_unavailable", "this service takes no passkeys")
	// ErrPasskeyExpired is a challenge that is over, was used, or belongs to
	// another browser.
	ErrPasskeyExpired = fault.New(http.StatusUnprocessableEntity, "passkey_expired", "this took too long or was used before, start again")
	// ErrPasskeyFailed is an answer that does not verify.
	ErrPasskeyFailed = fault.New(http.StatusUnprocessableEntity, "passkey_failed", "the passkey could not be verified")
	// ErrPasskeyUnknown is a passkey that is not, or no longer, ours.
	ErrPasskeyUnknown = fault.New(http.StatusUnprocessableEntity, "passkey_unknown", "this passkey is not known here")
	// ErrPasskeyCloned is a counter that went back: two devices hold the key.
	ErrPasskeyCloned = fault.New(http.StatusUnprocessableEntity, "passkey_cloned", "this passkey seems to have been copied and is refused")
	errPasskeyOther  = fault.New(http.StatusUnprocessableEntity, "passkey_other", "this passkey is of another account")
	ErrPasskeyExists = fault.New(http.StatusConflict, "passkey_exists", "this passkey was added before")
	ErrPasskeyLimit  = fault.New(http.StatusConflict, "passkey_limit", "an account has no more than 20 passkeys")
)

const (
	passkeysKept    = 20  // per account
	passkeyNameSize = 100 // bytes
)

// Passkey is a key that an account is signed in to with.
type Passkey struct {
	ID        string    `json:"id"` // the credential's id, base64url
	Name      string    `json:"name"`
	Synced    bool      `json:"synced"` // may exist on several devices
	CreatedAt time.Time `json:"created_at"`
	UsedAt    time.Time `json:"used_at,omitzero"` // of the last sign-in; zero before the first
}

// Passkeys returns a user's passkeys, the oldest first.
func (s *Service) Passkeys(ctx context.Context, userID string) ([]Passkey, error) {
	keys, err := s.passkeyRows(ctx, userID)
	if err != nil {
		return nil, err
	}
	out := make([]Passkey, len(keys)) // [] in JSON, not null
	for i, k := range keys {
		out[i] = k.Passkey
	}
	return out, nil
}

// RenamePasskey gives one of the user's passkeys another name of at most 100
// bytes; db.ErrNotFound if it is not theirs.
func (s *Service) RenamePasskey(ctx context.Context, userID, id, name string) error {
	return s.changePasskey(ctx, userID, id, "passkey.renamed",
		`UPDATE passkeys SET name = $3 WHERE id = $1 AND user_id = $2`, passkeyName(name))
}

// RemovePasskey makes one of the user's passkeys worthless; db.ErrNotFound if it
// is not theirs. Sessions that it opened stay. Fault: ErrLastWayIn.
func (s *Service) RemovePasskey(ctx context.Context, userID, id string, by By) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.weaken(ctx, userID, by); err != nil && !isNotFound(err) {
			return err
		}
		if err := s.removePasskey(ctx, userID, id); err != nil {
			return err
		}
		return s.keepsWayIn(ctx, userID)
	})
}

func (s *Service) removePasskey(ctx context.Context, userID, id string) error {
	return s.changePasskey(ctx, userID, id, "passkey.removed", `DELETE FROM passkeys WHERE id = $1 AND user_id = $2`)
}

func (s *Service) changePasskey(ctx context.Context, userID, id, event, statement string, args ...any) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.db.Exec(ctx, statement, append([]any{id, userID}, args...)...)
		if err != nil {
			return fmt.Errorf("change passkey: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("change passkey: %w", db.ErrNotFound)
		}
		return s.recordPasskey(ctx, event, userID, id)
	})
}

// recordPasskey writes an audit line. A credential id is no secret, but may be
// very long.
func (s *Service) recordPasskey(ctx context.Context, event, userID, id string) error {
	return s.record(ctx, event, "user:"+userID, userID, map[string]string{"passkey": clip(id, 64)})
}

func passkeyName(name string) string {
	if name = strings.TrimSpace(clip(name, passkeyNameSize)); name != "" {
		return name
	}
	return "Passkey"
}

// passkeyRow is a row of the table.
type passkeyRow struct {
	Passkey
	userID     string
	publicKey  []byte
	signCount  uint32
	backedUp   bool
	aaguid     string
	transports []string
}

// passkeyColumns are scanned by scanPasskey, in this order.
const passkeyColumns = `id, user_id, name, public_key, sign_count, backup_eligible, backed_up, aaguid, transports, created_at, used_at` //nolint:gosec // names of columns

func scanPasskey(scan func(...any) error) (k passkeyRow, err error) {
	var count, created int64
	var used *int64
	var transports string
	if err := scan(&k.ID, &k.userID, &k.Name, &k.publicKey, &count, &k.Synced, &k.backedUp, &k.aaguid, &transports, &created, &used); err != nil {
		return passkeyRow{}, err
	}
	k.signCount, k.transports, k.CreatedAt = uint32(count), strings.Fields(transports), db.Time(created) //nolint:gosec // it was a uint32
	if used != nil {
		k.UsedAt = db.Time(*used)
	}
	return k, nil
}

func (s *Service) passkeyRows(ctx context.Context, userID string) ([]passkeyRow, error) {
	rows, err := s.db.Query(ctx, `SELECT `+passkeyColumns+` FROM passkeys WHERE user_id = $1 ORDER BY created_at, id`, userID)
	if err != nil {
		return nil, fmt.Errorf("list passkeys: %w", err)
	}
	defer rows.Close()
	var keys []passkeyRow
	for rows.Next() {
		k, err := scanPasskey(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list passkeys: %w", err)
		}
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list passkeys: %w", err)
	}
	return keys, nil
}

// findPasskey returns a passkey by its credential id; ErrPasskeyUnknown.
func (s *Service) findPasskey(ctx context.Context, id string) (passkeyRow, error) {
	k, err := scanPasskey(s.db.QueryRow(ctx, `SELECT `+passkeyColumns+` FROM passkeys WHERE id = $1`, id).Scan)
	if isNotFound(err) {
		return passkeyRow{}, ErrPasskeyUnknown
	}
	if err != nil {
		return passkeyRow{}, fmt.Errorf("find passkey: %w", err)
	}
	return k, nil
}
