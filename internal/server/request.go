package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user"
)

// identify gives every request an id of our own making and the address of the
// person behind it, then answers the id as X-Request-Id. A caller's own request
// id is not taken over: it could name another request in our log.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var raw [12]byte
		rand.Read(raw[:])
		id := base64.RawURLEncoding.EncodeToString(raw[:])
		w.Header().Set("X-Request-Id", id)
		caller := user.Caller{Address: s.proxies.clientAddress(r), RequestID: id}
		next.ServeHTTP(w, r.WithContext(user.WithCaller(r.Context(), caller)))
	})
}

// observe measures a request once it is answered, logs the ones that failed on
// our side, and turns a panic into an answer without details. The route pattern,
// never the path, names the request: paths may hold ids.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // the sentinel is compared as net/http does
				s.log.ErrorContext(r.Context(), "panic while answering", "request_id", user.CallerOf(r.Context()).RequestID,
					"panic", p, "stack", string(debug.Stack()))
				if ww.Status() == 0 {
					writePlain(ww, fault.Internal)
				}
			}
			route := chi.RouteContext(r.Context()).RoutePattern()
			if route == "" {
				route = "none"
			}
			status := ww.Status()
			if status == 0 {
				status = http.StatusOK
			}
			took := time.Since(start)
			s.metrics.answered(route, r.Method, status, took)
			s.logAnswer(r.Context(), r.Method, route, status, took)
		}()
		next.ServeHTTP(ww, r)
	})
}

func (s *Server) logAnswer(ctx context.Context, method, route string, status int, took time.Duration) {
	level := slog.LevelDebug
	if status >= 500 {
		level = slog.LevelWarn
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	s.log.LogAttrs(ctx, level, "answered",
		slog.String("request_id", user.CallerOf(ctx).RequestID),
		slog.String("method", method),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Duration("took", took))
}

// harden sets the headers that belong on every answer. Pages add their own
// Content-Security-Policy.
func (s *Server) harden(next http.Handler) http.Handler {
	https := s.secure
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"] = nosniff
		h["Referrer-Policy"] = noReferrer
		h["X-Frame-Options"] = deny
		if https {
			h["Strict-Transport-Security"] = hsts
		}
		next.ServeHTTP(w, r)
	})
}

// Shared values: a header map only points at them.
var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	deny       = []string{"DENY"}
	hsts       = []string{"max-age=31536000"}
)

// writePlain answers where no form of answer was chosen yet.
func writePlain(w http.ResponseWriter, f *fault.Error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(f.Code + "\n"))
}
