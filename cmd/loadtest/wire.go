package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// conn is one keep-alive HTTP/1.1 connection used by one goroutine. It exists to
// leave the machine's cores to the server: net/http's client needs two more
// goroutines and several times the work for each request.
type conn struct {
	addr, host string
	c          net.Conn
	r          *bufio.Reader
	request    []byte // the last one, for its memory
	reply      message
	cookies    []cookie
}

type cookie struct{ name, value string }

// form is name, value, name, value.
type form []string

// answer is what scenarios look at. The body is good until the next request.
type answer struct {
	status   int
	location string
	body     []byte
}

func dial(issuer string) (*conn, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" {
		return nil, fmt.Errorf("issuer %s: only http is driven; measure without TLS", issuer)
	}
	addr := u.Host
	if u.Port() == "" {
		addr += ":80"
	}
	c := &conn{addr: addr, host: u.Host}
	return c, c.connect()
}

func (c *conn) connect() error {
	nc, err := net.Dial("tcp", c.addr)
	if err != nil {
		return err
	}
	c.c, c.r = nc, bufio.NewReaderSize(nc, 16<<10)
	return nil
}

func (c *conn) close() { _ = c.c.Close() }

func (c *conn) get(path string, header ...string) (answer, error) {
	return c.do(http.MethodGet, path, nil, header)
}

func (c *conn) post(path string, f form, header ...string) (answer, error) {
	return c.do(http.MethodPost, path, f, header)
}

// do sends one request and reads its answer; header is name, value, name, value.
// Cookies are kept as a browser would keep them, by name alone.
func (c *conn) do(method, path string, f form, header []string) (answer, error) {
	b := append(c.request[:0], method...)
	b = append(append(b, ' '), path...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), c.host...)
	for i := 0; i+1 < len(header); i += 2 {
		b = append(append(append(append(b, "\r\n"...), header[i]...), ": "...), header[i+1]...)
	}
	for i, k := range c.cookies {
		before := "; "
		if i == 0 {
			before = "\r\nCookie: "
		}
		b = append(append(append(append(b, before...), k.name...), '='), k.value...)
	}
	if method == http.MethodPost {
		body := f.encode()
		b = append(b, "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "...)
		b = append(append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...), body...)
	} else {
		b = append(b, "\r\n\r\n"...)
	}
	c.request = b
	if _, err := c.c.Write(b); err != nil {
		return answer{}, err
	}
	a := answer{}
	err := c.reply.read(c.r, func(name, value []byte) {
		switch {
		case is(name, "Location"):
			a.location = string(value)
		case is(name, "Set-Cookie"):
			c.keep(string(value))
		}
	})
	if err != nil {
		return answer{}, err
	}
	a.body = c.reply.body
	if a.status, err = c.reply.status(); err != nil {
		return answer{}, err
	}
	return a, nil
}

// keep does what a Set-Cookie field says, as far as the server's cookies need it.
func (c *conn) keep(field string) {
	pair, attributes, _ := strings.Cut(field, ";")
	name, value, _ := strings.Cut(pair, "=")
	at := slices.IndexFunc(c.cookies, func(k cookie) bool { return k.name == name })
	over := value == "" || strings.Contains(attributes, "Max-Age=0")
	switch {
	case over && at >= 0:
		c.cookies = slices.Delete(c.cookies, at, at+1)
	case over:
	case at >= 0:
		c.cookies[at].value = value
	default:
		c.cookies = append(c.cookies, cookie{name, value})
	}
}

func (f form) encode() string {
	var b strings.Builder
	for i := 0; i+1 < len(f); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(f[i] + "=" + url.QueryEscape(f[i+1]))
	}
	return b.String()
}

// want turns an unexpected status into an error that says what came instead.
func (a answer) want(status int, step string) error {
	if a.status == status {
		return nil
	}
	body := a.body
	if len(body) > 300 {
		body = body[:300]
	}
	return fmt.Errorf("%s: status %d, want %d: %s", step, a.status, status, body)
}

func (a answer) decode(into any, step string) error {
	if err := a.want(http.StatusOK, step); err != nil {
		return err
	}
	return json.Unmarshal(a.body, into)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}
