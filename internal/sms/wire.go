package sms

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// wire is the transport beneath a vendor's SDK. What an SDK reports of a
// failure has lost whether the request was written, and repeats its contents;
// the exchange in the request's context keeps what there is to know instead.
type wire struct{ transport http.RoundTripper }

// exchange is what became of one request.
type exchange struct {
	ctx     context.Context // of the request
	written atomic.Bool     // whether any byte of the request may have left
	asked   bool            // whether the SDK came as far as the transport
	status  int
	header  http.Header
	body    []byte
	err     error // of the transport, or of reading the answer
}

type exchangeKey struct{}

// begin readies a context for one request and no more.
func begin(ctx context.Context) (context.Context, *exchange) {
	x := &exchange{}
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	x.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { x.written.Store(true) }})
	return x.ctx, x
}

var (
	errAgain    = errors.New("a message is sent once")
	errOversize = errors.New("the answer is too long")
)

// RoundTrip sends the request and reads the whole answer (http.RoundTripper).
// A second request in the same exchange, such as a redirect's, is not sent.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok || x.asked {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, errAgain
	}
	x.asked = true
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		x.err = err
		return nil, err
	}
	defer resp.Body.Close()
	x.status, x.header = resp.StatusCode, resp.Header
	x.body, x.err = io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if x.err == nil && len(x.body) > maxReply {
		x.err = errOversize
	}
	if x.err != nil {
		return nil, x.err
	}
	resp.Body = io.NopCloser(bytes.NewReader(x.body))
	return resp, nil
}

// trouble judges an exchange that brought no answer worth reading; nil if it did.
func (x *exchange) trouble(c *vendorClient) *SendError {
	switch {
	case !x.asked && x.ctx.Err() != nil:
		return c.fail(Failover, cause(x.ctx.Err()))
	case !x.asked: // the SDK cannot make a request of the configuration
		return c.fail(Misconfigured, "sdk")
	case errors.Is(x.err, errOversize):
		return c.fail(Ambiguous, "oversized")
	case x.err != nil && !x.written.Load():
		return c.fail(Failover, cause(x.err))
	case x.err != nil:
		return c.fail(Ambiguous, cause(x.err))
	case x.status >= 500, x.status >= 300 && x.status < 400:
		return c.status(x.status, x.header)
	}
	return nil
}

// unreadable judges an answer that is none of the vendor's.
func (x *exchange) unreadable(c *vendorClient) *SendError {
	if failed := c.status(x.status, x.header); failed != nil {
		return failed
	}
	return c.fail(Ambiguous, "reply")
}

// refusal is the failure of a code in words. "A.B" is found in the table as
// itself, as "A.*" and at last as "*". One without an entry of its own is kept only
// without digits: it cannot repeat a code or a number then.
func refusal(c *vendorClient, classes map[string]Class, code string) *SendError {
	if class, ok := classes[code]; ok {
		return c.fail(class, code)
	}
	class := classes["*"]
	for prefix := code; ; {
		i := strings.LastIndexByte(prefix, '.')
		if i < 0 {
			break
		}
		prefix = prefix[:i]
		if found, ok := classes[prefix+".*"]; ok {
			class = found
			break
		}
	}
	if strings.ContainsAny(code, "0123456789") {
		code = "other"
	}
	return c.fail(class, code)
}

// wireRef is vendorRef for ids that are put together with ^ or a colon.
func wireRef(id string, m Message) string {
	if vendorRef(strings.NewReplacer("^", "", ":", "").Replace(id), m) == "" {
		return ""
	}
	return id
}
