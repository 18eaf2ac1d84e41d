package sms

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// WebhookConfig names a service of the operator's own that sends texts.
type WebhookConfig struct {
	Name   string
	URL    string      // https; http for loopback alone
	Secret string      // signs each request
	TLS    *tls.Config // nil for the system's authorities
}

// Webhook hands messages to a URL, by POST of a JSON object
//
//	{"to": "+8613800138000", "code": "123456", "purpose": "login",
//	 "locale": "zh-CN", "expires_in": 300, "message_id": "..."}
//
// with the header Dialtone-Message-Id and
//
//	Dialtone-Signature: t=<Unix time>,v1=<hex of HMAC-SHA-256(secret, t + "." + body)>
//
// Any 2xx status means accepted, 4xx rejected, 5xx or silence that nobody
// knows; 408 and 429 that another provider may be asked. A request that was
// never written was not sent.
type Webhook struct {
	name   string
	url    string
	secret []byte
	client *http.Client
}

// maxReply is how much of an answer is read, so that its connection serves
// again; the status alone counts.
const maxReply = 64 << 10

// NewWebhook checks the configuration; it connects to nothing.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("sms provider %s: url is not an absolute URL", c.Name)
	case u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("sms provider %s: url must have no user information and no fragment", c.Name)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("sms provider %s: url must be https (http is for loopback addresses)", c.Name)
	case c.Secret == "":
		return nil, fmt.Errorf("sms provider %s: secret is missing", c.Name)
	}
	return &Webhook{name: c.Name, url: c.URL, secret: []byte(c.Secret), client: &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: attemptTime}).DialContext,
			TLSClientConfig:     c.TLS,
			TLSHandshakeTimeout: attemptTime,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        256,
			MaxIdleConnsPerHost: 256,
			// Some servers close idle connections after five seconds, and a
			// request that meets the end of its connection is ambiguous.
			IdleConnTimeout:        4 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// Name is the one in the configuration (Provider).
func (w *Webhook) Name() string { return w.name }

// webhookBody is what the receiver reads.
type webhookBody struct {
	To        string  `json:"to"`
	Code      string  `json:"code"`
	Purpose   Purpose `json:"purpose"`
	Locale    string  `json:"locale"`
	ExpiresIn int     `json:"expires_in"` // seconds
	MessageID string  `json:"message_id"`
}

// Send posts the message; see [Webhook] for what the answer means (Provider).
func (w *Webhook) Send(ctx context.Context, m Message) (string, error) {
	body, err := json.Marshal(webhookBody{
		To: m.To.E164(), Code: m.Code, Purpose: m.Purpose, Locale: m.Locale,
		ExpiresIn: int(m.TTL.Round(time.Second).Seconds()), MessageID: m.ID,
	})
	if err != nil {
		return "", w.fail(Misconfigured, "encode", 0)
	}
	var written atomic.Bool // whether any byte of the request may have left
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return "", w.fail(Misconfigured, "url", 0)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Dialtone")
	req.Header.Set("Dialtone-Message-Id", m.ID)
	req.Header.Set("Dialtone-Signature", w.sign(time.Now(), body))
	resp, err := w.client.Do(req)
	if err != nil {
		if written.Load() {
			return "", w.fail(Ambiguous, cause(err), 0)
		}
		return "", w.fail(Failover, cause(err), 0)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxReply)
	return "", w.judge(resp)
}

// sign binds the body to the time of sending, so that the receiver can refuse
// old requests that somebody repeats.
func (w *Webhook) sign(now time.Time, body []byte) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, w.secret)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// judge reads the status.
func (w *Webhook) judge(resp *http.Response) error {
	code := "http_" + strconv.Itoa(resp.StatusCode)
	switch status := resp.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return w.fail(Failover, code, retryAfter(resp.Header))
	case status < 400, // nobody follows redirects with a code in hand
		status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound,
		status == http.StatusMethodNotAllowed, status == http.StatusUnsupportedMediaType:
		return w.fail(Misconfigured, code, 0)
	case status < 500:
		return w.fail(BadNumber, code, 0)
	}
	return w.fail(Ambiguous, code, 0)
}

// retryAfter reads the header's seconds (RFC 9110 section 10.2.3), an hour at most.
func retryAfter(header http.Header) time.Duration {
	n, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(min(n, 3600))*time.Second, time.Hour)
}

// cause names what went wrong without the error's text, which repeats the URL.
func cause(err error) string {
	var (
		dns       *net.DNSError
		operation *net.OpError
		cert      *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &dns):
		return "dns"
	case errors.As(err, &cert):
		return "certificate"
	case errors.As(err, &operation) && operation.Op == "dial":
		return "dial"
	}
	return "connection"
}

func (w *Webhook) fail(class Class, code string, retry time.Duration) error {
	return &SendError{Class: class, Provider: w.name, Code: code, RetryAfter: retry}
}
