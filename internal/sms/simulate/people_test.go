package simulate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// people are those who just want to sign in, and how they fared.
type people struct {
	came, signedIn, checked, refused int
	delayed                          int            // told to try again in a second, and did
	why                              map[string]int // what they were told
}

// crowd describes ordinary people.
type crowd struct {
	from, to time.Duration
	count    int
	prefix   func(i int) string // of a person's number, seven digits
	known    int                // percent who sign in on a device of before
	shared   int                // percent who come from an office or a carrier's NAT
	perPlace int                // people to one such place
}

// signIns schedules a crowd's sign-ins. Nine of ten come to use their code; some
// ask for it again, some mistype it.
func (w *world) signIns(c crowd) {
	for i := range c.count {
		w.after(w.between(c.from, c.to), func() {
			from := address(1, i)
			if w.chance(c.shared) {
				from = address(2, w.random.IntN(max(1, c.count*c.shared/100/c.perPlace)))
			}
			w.signIn(person{
				client: clients[i%len(clients)],
				number: w.number(fmt.Sprintf("+86%s%04d", c.prefix(i), w.random.IntN(10_000))),
				from:   from, known: w.chance(c.known), device: fmt.Sprint("device ", i),
				uses: w.chance(90), again: w.chance(7), mistypes: w.chance(5),
			})
		})
	}
}

// clients are the company's apps and sites: one may ask for 600 codes an hour.
var clients = []string{"shop", "app", "forum", "club", "help", "bank", "mail", "news"} //nolint:gochecknoglobals // a constant

// hardestCheck is what those who do a human check do: it stands for every level.
const hardestCheck = 3

type person struct {
	number                       sms.Number
	from                         netip.Addr
	device, client               string
	known, uses, again, mistypes bool
	challenge                    sms.Challenge
	request                      sms.Request
}

// signIn begins with asking for a code. Whoever is asked for a human check does it.
func (w *world) signIn(p person) {
	w.people.came++
	p.request = sms.Request{
		Number: p.number, Purpose: sms.Login, ClientID: p.client, Flow: w.newFlow(), Locale: "zh-CN",
		Address: p.from, KnownDevice: p.known, Device: p.device,
	}
	var err error
	p.challenge, err = w.service.Send(w.ctx, p.request)
	if is(err, sms.ErrHumanCheckRequired) {
		w.people.checked++
		w.note("check", err)
		p.request.Human = hardestCheck
		p.challenge, err = w.service.Send(w.ctx, p.request)
	}
	switch f := fault.From(err); {
	case err != nil && f.RetryAfter > 0 && f.RetryAfter <= time.Second:
		w.people.came--
		w.people.delayed++
		w.in(time.Second, func() { w.signIn(p) })
	case err != nil:
		w.people.refused++
		w.note("refused", err)
	case p.again:
		w.in(w.between(61*time.Second, 90*time.Second), func() { w.again(p) })
	default:
		w.in(w.between(5*time.Second, 60*time.Second), func() { w.typeCode(p) })
	}
}

// again asks for another message.
func (w *world) again(p person) {
	c, err := w.service.Resend(w.ctx, p.ref(), sms.Again{Locale: "zh-CN", Address: p.from})
	if f := fault.From(err); err != nil && f.RetryAfter > 0 && f.RetryAfter <= time.Second {
		w.people.delayed++
		w.in(time.Second, func() { w.again(p) })
		return
	}
	if err != nil {
		w.people.refused++
		w.note("re-send refused", err)
		return
	}
	p.challenge = c
	w.in(w.between(5*time.Second, 60*time.Second), func() { w.typeCode(p) })
}

func (p *person) ref() sms.Ref {
	return sms.Ref{ID: p.challenge.ID, Purpose: sms.Login, ClientID: p.client, Flow: p.request.Flow}
}

// typeCode ends with a sign-in, or with nothing.
func (w *world) typeCode(p person) {
	code := w.carrier.code(p.number)
	if p.mistypes {
		_, _ = w.service.Check(w.ctx, p.ref(), other(code))
	}
	if !p.uses {
		return
	}
	proof, err := w.service.Check(w.ctx, p.ref(), code)
	if err == nil {
		err = w.db.Tx(w.ctx, func(ctx context.Context) error { return proof.Consume(ctx) })
	}
	if err != nil {
		w.note("code refused", err)
		return
	}
	w.people.signedIn++
}

// other is a code that is not the one given.
func other(code string) string {
	if code == "123456" {
		return "123457"
	}
	return "123456"
}

// note counts what people are told.
func (w *world) note(what string, err error) {
	if w.people.why == nil {
		w.people.why = map[string]int{}
	}
	var f *fault.Error
	if errors.As(err, &f) {
		what += " " + f.Code + " by " + w.refusedBy.Scope + " " + w.refusedBy.Window
	}
	w.people.why[what]++
}

// carriers' ranges, those of virtual operators apart.
func ranges() []string {
	return []string{"135", "136", "137", "138", "139", "150", "151", "158", "159", "182", "187", "188", "130", "131", "155", "186", "133", "153", "189", "199"}
}

// anyPrefix spreads people over the prefixes of a few cities.
func (w *world) anyPrefix(int) string {
	r := ranges()
	return fmt.Sprintf("%s%04d", r[w.random.IntN(len(r))], 1000+w.random.IntN(200))
}
