package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
	buf        bytes.Buffer
	cookies    map[string]string
}

// answer is what scenarios look at.
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
	c := &conn{addr: addr, host: u.Host, cookies: map[string]string{}}
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

func (c *conn) post(path string, form url.Values, header ...string) (answer, error) {
	return c.do(http.MethodPost, path, form, header)
}

// do sends one request and reads its answer; header is name, value, name, value.
// Cookies are kept as a browser would keep them, by name alone.
func (c *conn) do(method, path string, form url.Values, header []string) (answer, error) {
	b := &c.buf
	b.Reset()
	b.WriteString(method + " " + path + " HTTP/1.1\r\nHost: " + c.host + "\r\n")
	for i := 0; i+1 < len(header); i += 2 {
		b.WriteString(header[i] + ": " + header[i+1] + "\r\n")
	}
	if len(c.cookies) > 0 {
		pairs := make([]string, 0, len(c.cookies))
		for k, v := range c.cookies {
			pairs = append(pairs, k+"="+v)
		}
		b.WriteString("Cookie: " + strings.Join(pairs, "; ") + "\r\n")
	}
	if form != nil {
		body := form.Encode()
		b.WriteString("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	} else {
		b.WriteString("\r\n")
	}
	if _, err := c.c.Write(b.Bytes()); err != nil {
		return answer{}, err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, location: res.Header.Get("Location")}
	for _, ck := range res.Cookies() {
		if ck.MaxAge < 0 || ck.Value == "" {
			delete(c.cookies, ck.Name)
		} else {
			c.cookies[ck.Name] = ck.Value
		}
	}
	a.body, err = io.ReadAll(res.Body)
	return a, err
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
