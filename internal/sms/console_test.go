package sms

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

func TestConsolePrintsTheMessage(t *testing.T) {
	var out bytes.Buffer
	c := NewConsole("console", &out)
	m := Message{ID: "x", To: number(t, "+8613800138000"), Purpose: Login, Code: "012345", TTL: 5 * time.Minute}
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if want := "SMS to +8613800138000: code 012345 (login, valid 5 min)\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no terminal") }

func TestConsoleFailures(t *testing.T) {
	m := Message{To: number(t, "+8613800138000"), Code: "012345"}
	var failed *SendError
	if _, err := NewConsole("console", brokenWriter{}).Send(t.Context(), m); !errors.As(err, &failed) || failed.Class != Ambiguous {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewConsole("console", brokenWriter{}).Send(ctx, m); !errors.As(err, &failed) || failed.Class != Failover {
		t.Errorf("%v", err)
	}
}
