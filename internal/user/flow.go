package user

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/web"
)

const (
	flowCookie    = "dialtone_flow_" // followed by the flow's id
	flowLife      = 30 * time.Minute
	flowsKept     = 5
	flowMaxBytes  = 4096 // of one cookie, name and value; browsers drop what is larger
	flowGrows     = 400  // what is noted in it on its way, at most: a held sign-in
	flowsMaxBytes = 7000 // of all of them; many proxies refuse a header line over 8 KiB
	flowIDBytes   = 12
	flowSecret    = 32
)

// What a flow can be refused for.
var (
	ErrFlowExpired     = fault.New(http.StatusGone, "flow_expired", "this page has expired, start again")
	ErrCookiesRequired = fault.New(http.StatusBadRequest, "cookies_required", "signing in needs cookies, and this browser sent none")
	ErrFlowTooLarge    = fault.New(http.StatusRequestEntityTooLarge, "request_too_large", "the request is too long to be continued after signing in")
)

// Flow is a sign-in that waits for a person, sealed into a cookie of this browser.
type Flow struct {
	ID            string // short, in URLs: /login?flow=ID
	CreatedAt     time.Time
	ClientID      string
	Client        *web.Client `json:",omitempty"`
	LoginHint     string      `json:",omitempty"`
	UILocales     []string    `json:",omitempty"`
	SkipAgreement bool        `json:",omitempty"`
	FormAction    string      `json:",omitempty"`
	Return        string      `json:",omitempty"` // path of ours that a direct visit leads back to, "" for /account
	ProvenAfter   time.Time   `json:",omitzero"`  // a sign-in that another device vouches for must have been proven after this; zero: whenever
	Only          string      `json:",omitempty"` // account that has to sign in, "" for any
	Request       []byte      `json:"-"`          // opaque continuation of whoever started the flow; empty for a direct visit

	secret  []byte
	session string // that a sign-in of this flow made, "" before
	held    *held  // a sign-in that waits for a decision, nil for none

	change *phoneChange // a change of number, which is no sign-in; nil for none
}

// Binding is what this flow's challenges are bound to: 32 bytes that only the
// browser with the flow's cookie can bring about. The id alone, which is in
// URLs, is not enough.
func (f Flow) Binding() []byte {
	h := sha256.New()
	h.Write([]byte(f.ID)) // of fixed length, so the parts cannot run into each other
	h.Write(f.secret)
	return h.Sum(nil)
}

// Flows seals flows into cookies and opens them.
type Flows struct {
	vault   *signing.Vault
	cookies cookies
}

// NewFlows makes the keeper of flows; secure says that the issuer is https, as
// it must for the Service beside it.
func NewFlows(v *signing.Vault, secure bool) *Flows {
	return &Flows{vault: v, cookies: cookies{plain: !secure}}
}

// Start gives f an id and a secret, stamps it, and sets its cookie for 30
// minutes. Of the flows that r brought along the oldest are dropped, so that at
// most five are kept. A flow too large for a cookie is the fault
// request_too_large.
func (fs *Flows) Start(w http.ResponseWriter, r *http.Request, f Flow) (Flow, error) {
	var id [flowIDBytes]byte
	rand.Read(id[:])
	f.ID, f.CreatedAt = base64.RawURLEncoding.EncodeToString(id[:]), time.Now().UTC()
	f.secret = make([]byte, flowSecret)
	rand.Read(f.secret)
	value, err := fs.seal(f)
	if err != nil {
		return Flow{}, err
	}
	size := fs.size(f, value)
	if size > flowMaxBytes-flowGrows {
		return Flow{}, ErrFlowTooLarge
	}
	fs.makeRoom(w, r, size)
	fs.cookies.set(w, flowCookie+f.ID, value, flowLife)
	return f, nil
}

// size is that of a flow's cookie.
func (fs *Flows) size(f Flow, value string) int {
	return len(fs.cookies.name(flowCookie+f.ID)) + len(value)
}

// Of opens the flow that the request names as "flow" in its form (POST) or its
// query. Faults: flow_expired if it is unknown, forged, expired or of another
// browser; cookies_required if a request that names one brings no cookie at all; the parser's for
// a malformed form. The body is read and kept as r.PostForm, or taken from there
// if the handler parsed it before.
func (fs *Flows) Of(r *http.Request) (Flow, error) {
	form := r.PostForm
	if form == nil || r.Method != http.MethodPost {
		var err error
		if form, err = parse(r); err != nil {
			return Flow{}, err
		}
	}
	return fs.Find(r, form.Get("flow"))
}

// Find opens the flow of that id with the cookies of r; the faults are Of's.
func (fs *Flows) Find(r *http.Request, id string) (Flow, error) {
	if id != "" && r.Header.Get("Cookie") == "" { // the page that began the flow set two
		return Flow{}, ErrCookiesRequired
	}
	if !isFlowID(id) {
		return Flow{}, ErrFlowExpired
	}
	value, ok := fs.cookies.read(r, flowCookie+id)
	if !ok {
		return Flow{}, ErrFlowExpired
	}
	f, err := fs.open(id, value)
	if err != nil {
		return Flow{}, ErrFlowExpired.Because(err)
	}
	return f, nil
}

// End makes the browser forget a flow.
func (fs *Flows) End(w http.ResponseWriter, f Flow) { fs.cookies.clear(w, flowCookie+f.ID) }

// signedIn notes in the cookie that a sign-in of f made this session, so that
// the pages of a flow which goes on know it when they are come back to.
func (fs *Flows) signedIn(w http.ResponseWriter, f Flow, session string) (Flow, error) {
	f.session, f.held = session, nil
	return f, fs.keep(w, f)
}

// keep writes a flow that went on into its cookie. Fault: request_too_large.
func (fs *Flows) keep(w http.ResponseWriter, f Flow) error {
	value, err := fs.seal(f)
	if err != nil {
		return err
	}
	if fs.size(f, value) > flowMaxBytes {
		return ErrFlowTooLarge
	}
	fs.cookies.set(w, flowCookie+f.ID, value, flowLife-time.Since(f.CreatedAt))
	return nil
}

// makeRoom drops the oldest flows of r, and those that do not open any more,
// until a new one of that size fits.
func (fs *Flows) makeRoom(w http.ResponseWriter, r *http.Request, size int) {
	type kept struct {
		name string
		size int
		at   time.Time
	}
	var others []kept
	prefix := fs.cookies.name(flowCookie)
	for _, c := range r.Cookies() {
		id, ok := strings.CutPrefix(c.Name, prefix)
		if !ok || !isFlowID(id) {
			continue
		}
		k := kept{name: flowCookie + id, size: len(c.Name) + len(c.Value)}
		if f, err := fs.open(id, c.Value); err == nil {
			k.at = f.CreatedAt
		}
		others = append(others, k)
	}
	slices.SortFunc(others, func(a, b kept) int { return b.at.Compare(a.at) }) // newest first
	for i, k := range others {
		size += k.size
		if k.at.IsZero() || i >= flowsKept-1 || size > flowsMaxBytes {
			fs.cookies.clear(w, k.name)
		}
	}
}

// sealedFlow is the part of a flow that is sealed as JSON.
type sealedFlow struct {
	Flow
	Session string       `json:",omitempty"`
	Held    *held        `json:",omitempty"`
	Change  *phoneChange `json:",omitempty"`
}

// seal encodes a flow as secret, length of the JSON, JSON, Request - the request
// is the long part, and JSON would make it a third longer - and encrypts that
// with the id authenticated.
func (fs *Flows) seal(f Flow) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // no browser reads it, and an ampersand would take six bytes
	if err := encoder.Encode(sealedFlow{f, f.session, f.held, f.change}); err != nil {
		return "", fmt.Errorf("encode flow: %w", err)
	}
	head := text.Bytes()
	plain := make([]byte, 0, len(f.secret)+binary.MaxVarintLen32+len(head)+len(f.Request))
	plain = append(plain, f.secret...)
	plain = binary.AppendUvarint(plain, uint64(len(head)))
	plain = append(plain, head...)
	plain = append(plain, f.Request...)
	return base64.RawURLEncoding.EncodeToString(fs.vault.Seal(labelFlow, plain, []byte(f.ID))), nil
}

func (fs *Flows) open(id, value string) (Flow, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return Flow{}, errors.New("open flow: not base64url")
	}
	plain, err := fs.vault.Open(labelFlow, sealed, []byte(id))
	if err != nil {
		return Flow{}, fmt.Errorf("open flow: %w", err)
	}
	f, err := decodeFlow(plain)
	if err != nil {
		return Flow{}, fmt.Errorf("open flow: %w", err)
	}
	// The cookie's own Max-Age is the browser's promise, not ours.
	if time.Since(f.CreatedAt) > flowLife {
		return Flow{}, errors.New("open flow: expired")
	}
	return f, nil
}

func decodeFlow(plain []byte) (Flow, error) {
	if len(plain) < flowSecret {
		return Flow{}, errors.New("too short")
	}
	secret, rest := plain[:flowSecret], plain[flowSecret:]
	n, used := binary.Uvarint(rest)
	if used <= 0 || n > uint64(len(rest)-used) {
		return Flow{}, errors.New("malformed")
	}
	head, request := rest[used:used+int(n)], rest[used+int(n):]
	var f sealedFlow
	if err := json.Unmarshal(head, &f); err != nil {
		return Flow{}, fmt.Errorf("decode: %w", err)
	}
	f.secret, f.session, f.held, f.change = secret, f.Session, f.Held, f.Change
	if len(request) > 0 {
		f.Request = request
	}
	return f.Flow, nil
}

func isFlowID(id string) bool {
	if len(id) != base64.RawURLEncoding.EncodedLen(flowIDBytes) {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
