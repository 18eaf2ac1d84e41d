package captcha

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// vendor is a service that judges people by its own widget.
type vendor interface {
	// puzzle is what the widget is started with. subject is what the vendor's
	// proof will have to be of, "" if the vendor cannot say yet.
	puzzle(ctx context.Context, user string) (widget map[string]any, subject string, err error)
	// read checks what can be checked without the vendor. lot names the proof.
	read(proof []byte, subject string) (form url.Values, lot string, ok bool)
	// validate asks the vendor. An error says that there was no judgement.
	validate(ctx context.Context, form url.Values, user string) (human bool, err error)
}

const (
	vendorLabel = "captcha vendor"
	vendorLife  = 5 * time.Minute  // a person slides, chooses, fails and slides again
	vendorTime  = 5 * time.Second  // of one call
	vendorRest  = 60 * time.Second // how long a vendor that failed is left alone
	lotLife     = 24 * time.Hour   // how long a proof is remembered; no vendor's is good for as long
	maxReply    = 64 << 10
	maxProof    = 8 << 10 // of a widget; the largest known have 2 KiB
)

// vendorPuzzle asks the vendor for a puzzle; false if it is away.
func (c *Checker) vendorPuzzle(ctx context.Context, b Binding) (json.RawMessage, bool) {
	if time.Now().UnixNano() < c.down.Load() {
		return nil, false
	}
	widget, subject, err := c.vendor.puzzle(ctx, c.userOf(b))
	if err != nil {
		if c.lost(ctx, err) {
			c.observe(c.kind, string(vendorDown))
		}
		return nil, false
	}
	widget["state"] = c.seal(vendorLabel, b, vendorLife, []byte(subject))
	data, err := json.Marshal(widget)
	if err != nil {
		panic(fmt.Sprintf("captcha: %v", err)) // strings and flags
	}
	return data, true
}

// judgeVendor checks a widget's proof, uses the puzzle up, and asks the vendor.
// The puzzle is marked before: so nobody has us ask a hundred times for one. The
// proof is marked once it is found good, for longer than any puzzle lives: where
// the vendor makes it for no puzzle in particular it goes with a later one too.
func (c *Checker) judgeVendor(ctx context.Context, b Binding, proof string) (result, error) {
	var held struct {
		State string `json:"state"`
	}
	if c.vendor == nil || len(proof) > maxProof || json.Unmarshal([]byte(proof), &held) != nil {
		return failed, nil
	}
	t, r := c.openFor(b, vendorLabel, held.State)
	if r != passed {
		return r, nil
	}
	form, lot, ok := c.vendor.read([]byte(proof), string(t.content))
	if !ok {
		return failed, nil
	}
	if r, err := c.use(ctx, c.kind, t.name, t.expires); r != passed {
		return r, err
	}
	human, err := c.vendor.validate(ctx, form, c.userOf(b))
	switch {
	case err != nil && c.lost(ctx, err):
		return vendorDown, nil
	case err != nil:
		return "", fmt.Errorf("ask the vendor: %w", ctx.Err())
	case !human:
		return failed, nil
	}
	return c.use(ctx, c.kind, lot, time.Now().Add(lotLife))
}

// userOf is what the vendor knows a person by: the same in both calls for one
// puzzle, and the name of nothing.
func (c *Checker) userOf(b Binding) string { return hex.EncodeToString(c.hash(b)) }

// lost takes note that the vendor is away. It is false if the caller gave up:
// nobody takes the vendor away by hanging up.
func (c *Checker) lost(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	now := time.Now()
	if before := c.down.Swap(now.Add(vendorRest).UnixNano()); before < now.UnixNano() {
		c.log.WarnContext(ctx, "the vendor of the human check is away, a proof of work takes its place",
			slog.String("type", c.kind), slog.String("reason", err.Error()), slog.Duration("for", vendorRest))
	}
	return true
}

// service is where a vendor is reached. Its errors hold nothing of the
// vendor's and no URL.
type service struct {
	base    string // scheme, host and port
	timeout time.Duration
	http    *http.Client
}

func newService(endpoint string) (service, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return service{}, errors.New("captcha: endpoint is not an absolute URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return service{}, errors.New("captcha: endpoint must be scheme, host and port alone")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return service{}, errors.New("captcha: endpoint must be https (http is for loopback addresses)")
	}
	return service{base: u.Scheme + "://" + u.Host, timeout: vendorTime, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: maxReply,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// errReply is an answer that is none of the vendor's.
var errReply = errors.New("unreadable reply")

// call reads the JSON of an answer into reply. form nil is a GET.
func (s service) call(ctx context.Context, path string, query, form url.Values, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path+"?"+query.Encode(), body)
	if err != nil {
		return errors.New("no request can be made")
	}
	req.Header.Set("User-Agent", "Dialtone")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := s.http.Do(req) //nolint:gosec // host and path are the configuration's
	if err != nil {
		return silence(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", resp.StatusCode)
	case err != nil:
		return silence(err)
	case len(text) > maxReply || json.Unmarshal(text, reply) != nil:
		return errReply
	}
	return nil
}

// silence says what was missing without saying where: a transport's error
// repeats the URL.
func silence(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("timeout")
	}
	return errors.New("no connection")
}
