package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
)

// sink is the webhook that the codes arrive at. Like conn it spares the server's
// cores what net/http would do.
type sink struct {
	listener net.Listener
	codes    sync.Map // E.164 to code
}

func listen(ctx context.Context, addr string) (*sink, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for codes: %w", err)
	}
	s := &sink{listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go s.serve(c)
		}
	}()
	return s, nil
}

func (s *sink) close() { _ = s.listener.Close() }

// take returns the code that was sent to a number.
func (s *sink) take(number string) (string, bool) {
	code, ok := s.codes.LoadAndDelete(number)
	if !ok {
		return "", false
	}
	return code.(string), true
}

// serve answers the messages of one connection until that is closed.
func (s *sink) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	var m message
	for {
		var sent struct{ To, Code string }
		if err := m.read(r, func(_, _ []byte) {}); err != nil {
			return
		}
		answer := "HTTP/1.1 204 No Content\r\n\r\n"
		if err := json.Unmarshal(m.body, &sent); err != nil {
			answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
		} else {
			s.codes.Store(sent.To, sent.Code)
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}
