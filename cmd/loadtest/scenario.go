package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"sync/atomic"
)

// scenario is one thing a client does again and again on its own connection.
// prepare runs once a connection, outside the measured time.
type scenario struct {
	name    string
	prepare func(*load, *conn) (step, error)
}

type step func() error

var scenarios = []scenario{
	{"client-credentials", (*load).clientCredentials},
	{"refresh", (*load).refresh},
	{"introspection", (*load).introspection},
	{"userinfo", (*load).userinfo},
	{"sign-in-rs256", func(l *load, c *conn) (step, error) { return l.signInAgain(c, clientRS256), nil }},
	{"sign-in-es256", func(l *load, c *conn) (step, error) { return l.signInAgain(c, clientES256), nil }},
}

func scenarioNames() []string {
	names := make([]string, len(scenarios))
	for i, s := range scenarios {
		names[i] = s.name
	}
	return names
}

// load is what the connections of a run share: the codes that arrived and the
// next unused number.
type load struct {
	sink *sink
	next atomic.Int64
}

// newLoad starts the sink. Numbers are +86 138 and eight digits counted up from a
// random start, so that repeated runs do not meet each other's limits; none of
// them leaves the machine.
func newLoad(ctx context.Context, addr string) (*load, error) {
	start, err := rand.Int(rand.Reader, big.NewInt(90_000_000))
	if err != nil {
		return nil, err
	}
	l := &load{}
	l.next.Store(start.Int64())
	l.sink, err = listen(ctx, addr)
	return l, err
}

func (l *load) number() string { return fmt.Sprintf("+86138%08d", l.next.Add(1)%100_000_000) }

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
}

// signIn is the whole of it, as a browser and its client do it: authorize, number
// page, number, code page, code, redirect, code exchange with PKCE.
func (l *load) signIn(c *conn, clientID string) (tokens, error) {
	c.cookies = c.cookies[:0]
	number := l.number()
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	authorize := form{
		"response_type", "code", "client_id", clientID, "redirect_uri", redirectURI,
		"scope", "openid phone offline_access", "state", "s-" + number[4:], "nonce", "n-" + number[4:],
		"code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method", "S256",
	}
	a, err := c.get("/oauth2/authorize?" + authorize.encode())
	if err != nil {
		return tokens{}, err
	}
	flow, err := a.parameter("flow", "authorize")
	if err != nil {
		return tokens{}, err
	}
	if a, err = c.get(a.location); err != nil {
		return tokens{}, err
	} else if err = a.want(http.StatusOK, "number page"); err != nil {
		return tokens{}, err
	}
	if a, err = c.post("/login", form{"flow", flow, "phone", number}); err != nil {
		return tokens{}, err
	}
	sent, err := a.parameter("challenge", "number")
	if err != nil {
		return tokens{}, err
	}
	if a, err = c.get(a.location); err != nil {
		return tokens{}, err
	} else if err = a.want(http.StatusOK, "code page"); err != nil {
		return tokens{}, err
	}
	code, ok := l.sink.take(number)
	if !ok {
		return tokens{}, fmt.Errorf("no code arrived for a number")
	}
	if a, err = c.post("/login/code", form{"flow", flow, "challenge", sent, "code", code}); err != nil {
		return tokens{}, err
	}
	grant, err := a.parameter("code", "code")
	if err != nil {
		return tokens{}, err
	}
	var t tokens
	if a, err = c.post("/oauth2/token", form{"grant_type", "authorization_code", "client_id", clientID,
		"code", grant, "redirect_uri", redirectURI, "code_verifier", verifier}); err != nil {
		return tokens{}, err
	}
	if err := a.decode(&t, "code exchange"); err != nil {
		return tokens{}, err
	}
	if t.AccessToken == "" || t.IDToken == "" || t.RefreshToken == "" {
		return tokens{}, fmt.Errorf("code exchange: a token is missing")
	}
	return t, nil
}

// parameter takes one query parameter from a 303's Location.
func (a answer) parameter(name, step string) (string, error) {
	if err := a.want(http.StatusSeeOther, step); err != nil {
		return "", err
	}
	u, err := url.Parse(a.location)
	if err != nil {
		return "", err
	}
	if v := u.Query().Get(name); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("%s: no %s in the redirect: %s", step, name, u.Query().Get("error"))
}

func (l *load) signInAgain(c *conn, clientID string) step {
	return func() error {
		_, err := l.signIn(c, clientID)
		return err
	}
}

func (l *load) clientCredentials(c *conn) (step, error) {
	auth := basic(clientMachine, secret)
	f := form{"grant_type", "client_credentials", "scope", "read"}
	return func() error {
		a, err := c.post("/oauth2/token", f, "Authorization", auth)
		if err != nil {
			return err
		}
		return a.want(http.StatusOK, "client credentials")
	}, nil
}

// refresh uses the client whose ID tokens are ES256, so that both signatures are.
func (l *load) refresh(c *conn) (step, error) {
	t, err := l.signIn(c, clientES256)
	if err != nil {
		return nil, err
	}
	c.cookies = c.cookies[:0]
	return func() error {
		a, err := c.post("/oauth2/token", form{"grant_type", "refresh_token", "client_id", clientES256,
			"refresh_token", t.RefreshToken})
		if err != nil {
			return err
		}
		return a.decode(&t, "refresh")
	}, nil
}

func (l *load) introspection(c *conn) (step, error) {
	t, err := l.signIn(c, clientES256)
	if err != nil {
		return nil, err
	}
	c.cookies = c.cookies[:0]
	auth := basic(clientMachine, secret)
	f := form{"token", t.AccessToken}
	return func() error {
		a, err := c.post("/oauth2/introspect", f, "Authorization", auth)
		if err != nil {
			return err
		}
		var said struct{ Active bool }
		if err := a.decode(&said, "introspection"); err != nil {
			return err
		}
		if !said.Active {
			return fmt.Errorf("introspection: inactive")
		}
		return nil
	}, nil
}

func (l *load) userinfo(c *conn) (step, error) {
	t, err := l.signIn(c, clientES256)
	if err != nil {
		return nil, err
	}
	c.cookies = c.cookies[:0]
	return func() error {
		a, err := c.get("/oauth2/userinfo", "Authorization", "Bearer "+t.AccessToken)
		if err != nil {
			return err
		}
		return a.want(http.StatusOK, "userinfo")
	}, nil
}
