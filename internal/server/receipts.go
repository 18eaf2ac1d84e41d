package server

import (
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user"
)

// pathReceipts is where providers push delivery reports. The secret in it must
// not be logged, so requests are named by their pattern everywhere.
const pathReceipts = "/v1/sms/receipts/{provider}/{secret}"

// receipts hands pushed delivery reports to sms. What it answers to a refusal is
// plain text, for whoever reads the provider's console; our own failures are
// 5xx, after which providers push again.
func (s *Server) receipts(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	answer, err := s.sms.Receive(r.Context(), chi.URLParam(r, "provider"), chi.URLParam(r, "secret"), r.Header, r.Body)
	if err != nil {
		f := fault.From(err)
		if f.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "take delivery reports", "request_id", user.CallerOf(r.Context()).RequestID, "error", err)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Code+": "+f.Description+"\n") //nolint:gosec // plain text, never sniffed
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer) //nolint:gosec // one of our constants
}
