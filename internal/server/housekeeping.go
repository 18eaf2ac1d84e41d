package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// housekeep is the server's own work. Everything in it may run on every replica
// at once: changes are noticed by each, keys rotate by compare-and-set, and
// deleting what expired twice deletes it once.
func (s *Server) housekeep(ctx context.Context) {
	var wait sync.WaitGroup
	wait.Go(func() { s.core.Ring.Run(ctx) })
	wait.Go(func() { s.purge(ctx) })
	wait.Go(func() { s.reconcile(ctx) })
	wait.Go(func() { s.sms.Watch(ctx) })
	wait.Go(func() { s.notices.Run(ctx) })
	if len(s.config.MasterSecrets) > 1 {
		wait.Go(func() { s.reseal(ctx) })
	}
	wait.Go(func() {
		s.core.DB.Watch(ctx, 500*time.Millisecond, func(topic string) error { return s.changed(ctx, topic) })
	})
	wait.Wait()
}

func (s *Server) changed(ctx context.Context, topic string) error {
	switch topic {
	case "clients":
		s.core.Clients.Forget()
	case "keys":
		if err := s.core.Ring.Reload(ctx); err != nil {
			return fmt.Errorf("reload the key ring: %w", err)
		}
	}
	return nil
}

// reseal runs once after a start with more than one master secret.
func (s *Server) reseal(ctx context.Context) {
	n, err := s.core.Users.Reseal(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "seal numbers under the new master secret", "error", err)
		return
	}
	s.log.InfoContext(ctx, "numbers are sealed under the first master secret", "resealed", n)
}

// reconcile asks SMS providers about once a minute what became of messages whose
// outcome is unknown. Every replica does, each with rounds of its own.
func (s *Server) reconcile(ctx context.Context) {
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(45*time.Second + rand.N(30*time.Second)): //nolint:gosec // spreads load, guards nothing
		}
		now := time.Now()
		if err := s.sms.Reconcile(ctx, since, now); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "settle messages whose outcome is unknown", "error", err)
		}
		since = now
	}
}

// purge deletes what expired, about once an hour and not on all replicas at once.
func (s *Server) purge(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50*time.Minute + rand.N(20*time.Minute)): //nolint:gosec // spreads load, guards nothing
		}
		now := time.Now()
		for what, purge := range map[string]func(context.Context, time.Time) (int64, error){
			"accounts": s.core.Users.EraseDue,
			"sessions": s.core.Users.Purge,
			"grants":   s.core.Grants.Purge,
			"messages": s.sms.Purge,
			"audit":    s.core.Audit.Purge,
		} {
			n, err := purge(ctx, now)
			if err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "delete what expired", "what", what, "error", err)
			} else if n > 0 {
				s.log.InfoContext(ctx, "deleted what expired", "what", what, "rows", n)
			}
		}
	}
}
