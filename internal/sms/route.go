package sms

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Route is the providers of a region.
type Route struct {
	Providers []Provider // in the order they are asked, unless there are weights
	Weights   []int      // nil, or one for each provider: the first is drawn by weight, the others follow by weight
}

func (r Route) check() error {
	switch {
	case slices.Contains(r.Providers, nil):
		return errors.New("sms: a route has a provider that is nil")
	case r.Weights == nil:
		return nil
	case len(r.Weights) != len(r.Providers):
		return errors.New("sms: a weighted route needs one weight for each provider")
	case slices.ContainsFunc(r.Weights, func(w int) bool { return w < 1 }):
		return errors.New("sms: the weights of a route must be positive")
	}
	return nil
}

// draw is the order for one message.
func (r Route) draw() []Provider {
	if r.Weights == nil {
		return slices.Clone(r.Providers)
	}
	places := make([]int, len(r.Providers))
	total := 0
	for i, w := range r.Weights {
		places[i], total = i, total+w
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(r.Weights[b], r.Weights[a]) })
	drawn := rand.IntN(max(total, 1))
	for i, place := range places {
		if drawn -= r.Weights[place]; drawn < 0 {
			places = slices.Insert(slices.Delete(places, i, i+1), 0, place)
			break
		}
	}
	order := make([]Provider, len(places))
	for i, place := range places {
		order[i] = r.Providers[place]
	}
	return order
}

// route is the one of a region; without providers if there is none.
func (s *Service) route(region string) Route {
	if r, ok := s.config.Routes[region]; ok {
		return r
	}
	return s.config.Routes["*"]
}

// serving is the route without the providers that are not set up for the message.
func (r Route) serving(to Number, p Purpose) Route {
	var of Route
	for i, provider := range r.Providers {
		if picky, ok := provider.(interface{ Serves(Number, Purpose) bool }); ok && !picky.Serves(to, p) {
			continue
		}
		of.Providers = append(of.Providers, provider)
		if r.Weights != nil {
			of.Weights = append(of.Weights, r.Weights[i])
		}
	}
	return of
}

// askable reports whether any provider of the route may be asked now, and if
// not, when to come back.
func (s *Service) askable(r Route) (wait time.Duration, ok bool) {
	wait = longestPause
	for _, p := range r.Providers {
		_, w := s.breakers[p.Name()].look()
		if w == 0 {
			return 0, true
		}
		wait = min(wait, w)
	}
	return wait, false
}

// plan is the order in which the providers of a route are asked for one
// message: as listed or drawn, those with an open breaker at the end, the one
// that is due first before the others. used are the providers of earlier
// messages of the same challenge that nobody says have arrived, the last one
// first. A re-send goes through another one if its breaker is closed, or else
// through the one whose turn was the longest ago.
func (s *Service) plan(r Route, used []string) []Provider {
	type place struct {
		provider Provider
		open     bool
		until    time.Time
		turn     int // 0 for one that was not used
	}
	places := make([]place, 0, len(r.Providers))
	for _, p := range r.draw() {
		at := place{provider: p}
		b := s.breakers[p.Name()]
		state, _ := b.look()
		if at.open = state == gobreaker.StateOpen; at.open {
			at.until = b.due()
		}
		if i := slices.Index(used, p.Name()); i >= 0 {
			at.turn = len(used) - i
		} else if len(used) > 0 && state != gobreaker.StateClosed {
			at.turn = len(used) + 1
		}
		places = append(places, at)
	}
	slices.SortStableFunc(places, func(a, b place) int {
		switch {
		case a.open != b.open:
			if a.open {
				return 1
			}
			return -1
		case a.open:
			return a.until.Compare(b.until)
		}
		return cmp.Compare(a.turn, b.turn)
	})
	order := make([]Provider, len(places))
	for i, at := range places {
		order[i] = at.provider
	}
	return order
}

// next takes the first provider that may be asked now out of a plan. Those with
// an open breaker get their trial if desperate, and only after all others.
func (s *Service) next(plan *[]Provider, desperate bool) (p Provider, leave func(verdict, string), ok bool) {
	for _, trial := range []bool{false, true} {
		if trial && !desperate {
			break
		}
		for i, p := range *plan {
			if leave, ok := s.breakers[p.Name()].enter(trial); ok {
				*plan = slices.Delete(slices.Clone(*plan), i, i+1)
				return p, leave, true
			}
		}
	}
	return nil, nil, false
}
