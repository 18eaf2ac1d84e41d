package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
)

// operator is the second listener: health and metrics, for the operator's
// network alone.
//
//   - /livez answers while the process can answer at all. Restarting on anything
//     else would turn a database outage into a crash loop.
//   - /readyz answers 503 while this replica should get no requests: it is
//     draining, or the database is out of reach. Redis being away makes it
//     "degraded", not unready.
func (s *Server) operator() http.Handler {
	r := chi.NewRouter()
	r.Get("/livez", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, http.StatusOK, health{Status: "alive"})
	})
	r.Get("/readyz", s.ready)
	r.Method(http.MethodGet, "/metrics", s.metrics.handler())
	return r
}

type health struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	h := health{Status: "ready", Version: s.version}
	switch {
	case s.draining.Load():
		h.Status = "draining"
	case s.core.DB.Ping(ctx) != nil:
		h.Status = "database unavailable"
	case s.degraded():
		h.Status = "degraded"
		writeHealth(w, http.StatusOK, h)
		return
	default:
		writeHealth(w, http.StatusOK, h)
		return
	}
	writeHealth(w, http.StatusServiceUnavailable, h)
}

func writeHealth(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h)
}
