package sms

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// Ten thousand people at the usual pace while the first provider answers
// nobody: how many get their code from the second one, and when.
func TestTenThousandSendsWithTheFirstProviderDead(t *testing.T) {
	const people, pace = 10_000 / slowed, 20 // a second
	synctest.Test(t, func(t *testing.T) {
		var (
			mu      sync.Mutex
			began   = map[Number]time.Time{}
			arrived = map[Number]time.Time{}
			codes   = map[Number]string{}
			doubted = map[Number]bool{} // asked the first in vain
		)
		dead := &recorder{name: "dead", answer: func(ctx context.Context, m Message) (string, error) {
			mu.Lock()
			doubted[m.To], codes[m.To] = true, m.Code
			mu.Unlock()
			<-ctx.Done()
			return "", &SendError{Class: Ambiguous, Provider: "dead", Code: "timeout"}
		}}
		alive := &recorder{name: "alive", answer: func(_ context.Context, m Message) (string, error) {
			time.Sleep(200 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if !arrived[m.To].IsZero() || codes[m.To] != "" && codes[m.To] != m.Code {
				t.Errorf("%v: a second message, or another code", m.To)
			}
			arrived[m.To] = time.Now()
			return "ref", nil
		}}
		d := dbtest.Open(t)
		f := newFixtureOn(t, d, roomyStore{}, Config{Routes: map[string]Route{"*": {Providers: []Provider{dead, alive}}}})
		defer f.closeIt()
		var (
			group    sync.WaitGroup
			answered []time.Duration
			opened   time.Time
		)
		for i := range people {
			group.Go(func() {
				r := Request{Number: number(t, fmt.Sprintf("+8610%09d", i)), Purpose: Login, ClientID: "web", Flow: flow(fmt.Sprint(i))}
				start := time.Now()
				mu.Lock()
				began[r.Number] = start
				mu.Unlock()
				_, err := f.Send(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				answered = append(answered, time.Since(start))
				if err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Second / pace)
			if state, _ := f.breakers["dead"].look(); opened.IsZero() && state.String() == "open" {
				opened = time.Now()
			}
		}
		group.Wait()
		f.sending.Wait()
		var first, later []time.Duration
		for n, at := range began {
			if arrived[n].IsZero() {
				continue
			}
			if wait := arrived[n].Sub(at); at.Before(opened) {
				first = append(first, wait)
			} else {
				later = append(later, wait)
			}
		}
		p95 := func(waits []time.Duration) time.Duration {
			slices.Sort(waits)
			return waits[len(waits)*95/100]
		}
		share := float64(len(arrived)) / people
		t.Logf("%.2f %% by the second provider; p95 of the wait %v for %d people at first, %v for %d once the breaker was open (worst %v); p95 of Send %v; the dead one was asked %d times",
			100*share, p95(first), len(first), p95(later), len(later), later[len(later)-1], p95(answered), len(doubted))
		if share < .999 || p95(first) > 4*time.Second || p95(later) > time.Second || p95(answered) > 2*time.Second {
			t.Error("too few or too late")
		}
		if s := states(t, d); s["accepted"] != len(arrived) || s["unknown"] != len(doubted) || s["reserved"]+s["rejected"] != 0 {
			t.Errorf("ledger %v, %d in doubt", s, len(doubted))
		}
	})
}

// vendorOf makes an adapter of one of the four vendors, with its fake.
type vendorOf struct {
	name  string
	serve func(fake.Config) (http.Handler, *fake.Core)
	open  func(name, endpoint, secret string) (Provider, error)
	broke string // the code for an account without balance
}

func fourVendors() []vendorOf {
	const key, secret = "keyOfTheTests", "0123456789abcdef0123456789abcdef"
	one, two := []fake.Param{{Name: "code"}}, make([]fake.Param, 2)
	const template = "SMS_1"
	with := func(c fake.Config, text string, params []fake.Param) fake.Config {
		c.Templates = []fake.Template{{ID: template, Text: text, Params: params}}
		return c
	}
	templates := map[TemplateUse]VendorTemplate{{}: {ID: template}}
	return []vendorOf{
		{"aliyun", func(c fake.Config) (http.Handler, *fake.Core) {
			f := fake.NewAliyun(fake.AliyunConfig{Config: with(c, "${code}", one), Keys: map[string]string{key: secret}})
			return f, f.Core
		}, func(name, endpoint, s string) (Provider, error) {
			return NewAliyun(AliyunConfig{Name: name, Endpoint: endpoint, AccessKeyID: key, AccessKeySecret: s, SignName: "示例签名", Templates: templates})
		}, "isv.AMOUNT_NOT_ENOUGH"},
		{"tencent", func(c fake.Config) (http.Handler, *fake.Core) {
			f := fake.NewTencent(fake.TencentConfig{Config: with(c, "{1} {2}", two), Keys: map[string]string{key: secret}})
			return f, f.Core
		}, func(name, endpoint, s string) (Provider, error) {
			return NewTencent(TencentConfig{Name: name, Endpoint: endpoint, SecretID: key, SecretKey: s, SDKAppID: "1400000001", SignName: "示例签名", Templates: templates})
		}, "FailedOperation.InsufficientBalanceInSmsPackage"},
		{"netease", func(c fake.Config) (http.Handler, *fake.Core) {
			f := fake.NewNetEase(fake.NetEaseConfig{Config: with(c, "#{code}", one), Apps: map[string]string{key: secret}})
			return f, f.Core
		}, func(name, endpoint, s string) (Provider, error) {
			return NewNetEase(NetEaseConfig{Name: name, Endpoint: endpoint, AppKey: key, AppSecret: s, Templates: templates})
		}, "419"},
		{"yuntongxun", func(c fake.Config) (http.Handler, *fake.Core) {
			f := fake.NewYuntongxun(fake.YuntongxunConfig{Config: with(c, "{1} {2}", two), Accounts: map[string]fake.YuntongxunAccount{secret: {Token: secret}}})
			return f, f.Core
		}, func(name, endpoint, s string) (Provider, error) {
			return NewYuntongxun(YuntongxunConfig{Name: name, Endpoint: endpoint, AccountSID: secret, AuthToken: s, AppID: "app", Templates: templates})
		}, "111142"},
	}
}

func (v vendorOf) secret() string { return "0123456789abcdef0123456789abcdef" }

// Each vendor dead in each way, over real HTTP: every code goes out by the next
// vendor, one message a person unless the first one's answer left doubt.
func TestEachVendorDeadInEachWay(t *testing.T) {
	vendors := fourVendors()
	for i, v := range vendors {
		spare := vendors[(i+1)%len(vendors)]
		for _, way := range []struct {
			name  string
			doubt bool
			kill  func(*fake.Core, string) (endpoint, secret string)
		}{
			{"refused", false, func(_ *fake.Core, _ string) (string, string) { return "http://" + unheard(t), v.secret() }},
			{"hanging", true, func(c *fake.Core, url string) (string, string) {
				c.Always(fake.Outcome{Fault: fake.Hang})
				return url, v.secret()
			}},
			{"5xx", true, func(c *fake.Core, url string) (string, string) {
				c.Always(fake.Outcome{Fault: fake.HTTP502})
				return url, v.secret()
			}},
			{"out of balance", false, func(c *fake.Core, url string) (string, string) {
				c.Always(fake.Outcome{Code: v.broke})
				return url, v.secret()
			}},
			{"bad signature", false, func(_ *fake.Core, url string) (string, string) { return url, "f" + v.secret()[1:] }},
		} {
			t.Run(v.name+" "+way.name, func(t *testing.T) {
				t.Parallel()
				const people = 12
				handler, core := v.serve(fake.Config{Name: "first"})
				srv := httptest.NewServer(handler)
				t.Cleanup(srv.Close)
				first, err := v.open("first", srv.URL, v.secret())
				if endpoint, secret := way.kill(core, srv.URL); err == nil {
					first, err = v.open("first", endpoint, secret)
				}
				if err != nil {
					t.Fatal(err)
				}
				handler, healthy := spare.serve(fake.Config{Name: "second"})
				ok := httptest.NewServer(handler)
				t.Cleanup(ok.Close)
				next, err := spare.open("second", ok.URL, spare.secret())
				if err != nil {
					t.Fatal(err)
				}
				d := dbtest.Open(t)
				f := newFixtureOn(t, d, roomyStore{}, Config{Routes: map[string]Route{"*": {Providers: []Provider{first, next}}}})
				for i := range people {
					start := time.Now()
					c, err := f.Send(t.Context(), login(t, fmt.Sprintf("+86138001380%02d", i), fmt.Sprint(i)))
					if err != nil || c.Status != StatusSent && c.Status != StatusSending {
						t.Errorf("%d: %+v, %v", i, c, err)
					}
					f.sending.Wait()
					if took := time.Since(start); i >= tripRow && took > time.Second && way.name != "hanging" {
						t.Errorf("%d waited %v", i, took)
					}
				}
				asked := min(people, tripRow)
				if way.name == "bad signature" {
					asked = 1
				}
				want := map[string]int{"accepted": people}
				if way.doubt {
					want["unknown"] = asked
				}
				if got := states(t, d); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("ledger %v, want %v", got, want)
				}
				for i := range people {
					if got := healthy.Inbox().To(fmt.Sprintf("+86138001380%02d", i)); len(got) != 1 {
						t.Errorf("person %d got %d messages", i, len(got))
					}
				}
				if n := len(core.Inbox().Messages()); n != 0 || way.name != "refused" && core.Calls() != asked {
					t.Errorf("the dead one took %d messages in %d calls, want %d calls", n, core.Calls(), asked)
				}
			})
		}
	}
}

// unheard is an address that nobody listens on.
func unheard(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
