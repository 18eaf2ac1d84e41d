package sms

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// vendorClient is the HTTP side of a vendor's adapter. What it returns as an
// error repeats nothing of the request: addresses of Yuntongxun, which
// *url.Error prints, hold the signature.
type vendorClient struct {
	name string
	base string // scheme, host and port
	http *http.Client
}

// newVendorClient checks the endpoint; it connects to nothing.
func newVendorClient(name, endpoint string, authorities *tls.Config) (*vendorClient, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("sms provider %s: endpoint is not an absolute URL", name)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("sms provider %s: endpoint must be scheme, host and port alone", name)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("sms provider %s: endpoint must be https (http is for loopback addresses)", name)
	}
	return &vendorClient{name: name, base: u.Scheme + "://" + u.Host, http: &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: attemptTime}).DialContext,
			TLSClientConfig:     authorities,
			TLSHandshakeTimeout: attemptTime,
			MaxIdleConns:        256,
			MaxIdleConnsPerHost: 256,
			// Shorter than that of any server: a request that meets the end of
			// its connection is ambiguous.
			IdleConnTimeout:        4 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// post sends one request, once, and returns the body of a 2xx answer. What was
// never written was not sent; silence, 5xx and half an answer leave it open.
func (c *vendorClient) post(ctx context.Context, path string, header http.Header, content string) ([]byte, *SendError) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	var written atomic.Bool // whether any byte of the request may have left
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, strings.NewReader(content))
	if err != nil {
		return nil, c.fail(Misconfigured, "endpoint")
	}
	req.Header = header
	req.Header.Set("User-Agent", "Dialtone")
	resp, err := c.http.Do(req)
	if err != nil {
		if written.Load() {
			return nil, c.fail(Ambiguous, cause(err))
		}
		return nil, c.fail(Failover, cause(err))
	}
	defer resp.Body.Close()
	if failed := c.status(resp.StatusCode, resp.Header); failed != nil {
		_, _ = io.CopyN(io.Discard, resp.Body, maxReply) // so that its connection serves again
		return nil, failed
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, c.fail(Ambiguous, cause(err))
	case len(body) > maxReply:
		return nil, c.fail(Ambiguous, "oversized")
	}
	return body, nil
}

// status judges an answer without the vendor's own words by its status: it comes
// from something before the vendor. 4xx says that the request went no further.
func (c *vendorClient) status(status int, header http.Header) *SendError {
	code := "http_" + strconv.Itoa(status)
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		failed := c.fail(Failover, code)
		failed.RetryAfter = retryAfter(header)
		return failed
	case status < 500: // nobody follows redirects with a code in hand
		return c.fail(Misconfigured, code)
	}
	return c.fail(Ambiguous, code)
}

func (c *vendorClient) fail(class Class, code string) *SendError {
	return &SendError{Class: class, Provider: c.name, Code: code}
}

// unfit is the failure of a message that no vendor can be asked to send: its
// code goes into places where only digits belong.
func (c *vendorClient) unfit(m Message) *SendError {
	if !allDigits(m.Code) {
		return c.fail(Misconfigured, "code")
	}
	return nil
}

// unserved is the failure of a message that this provider is not set up for.
// It says nothing about the provider's health.
func (c *vendorClient) unserved(abroad bool) *SendError {
	if abroad {
		return c.fail(Failover, codeInternational)
	}
	return c.fail(Failover, codeNoTemplate)
}

// refused is the failure of a business code. One that is in no documentation is
// of the class of "*"; it is kept only if it cannot be the message's own code or
// a part of its number. What is no code at all leaves open what became of the
// message.
func (c *vendorClient) refused(classes map[string]Class, code string, m Message) *SendError {
	class, known := classes[code]
	switch {
	case known:
		return c.fail(class, code)
	case len(code) > 6 || !allDigits(code) || strings.Trim(code, "0") == "":
		return c.fail(Ambiguous, "reply")
	case code == m.Code || strings.Contains(m.To.E164(), code):
		return c.fail(classes["*"], "other")
	}
	return c.fail(classes["*"], code)
}
