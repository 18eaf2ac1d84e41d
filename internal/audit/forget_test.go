package audit_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestForgetTakesAPersonOutOfTheirLines(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		log := audit.New(d)
		other := audit.Event{Name: "login.succeeded", Actor: "user:u2", UserID: "u2", IP: "192.0.2.2", Detail: map[string]string{"session": "s2"}}
		for _, e := range []audit.Event{
			{Name: "login.succeeded", Actor: "user:u1", UserID: "u1", ClientID: "web", IP: "192.0.2.1", Detail: map[string]string{"session": "s1"}},
			{Name: "user.viewed", Actor: "operator", UserID: "u1"}, other,
		} {
			if err := log.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.Forget(t.Context(), "u1", "erased:x"); err != nil {
			t.Fatal(err)
		}
		want := map[string][]audit.Event{
			"u1": nil, "u2": {other},
			"erased:x": {{Name: "user.viewed", Actor: "operator", UserID: "erased:x", Detail: map[string]string{}},
				{Name: "login.succeeded", Actor: "user:erased:x", UserID: "erased:x", ClientID: "web", Detail: map[string]string{}}},
		}
		for id, want := range want {
			var got []audit.Event
			list, err := log.List(t.Context(), id, audit.Entry{}, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				got = append(got, e.Event)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
		}
	})
}

func TestDropAddressMeetsItsLinesAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		log := audit.New(d)
		for _, challenge := range []string{"c1", "c12"} {
			if err := log.Record(t.Context(), audit.Event{Name: "login.code_refused", UserID: "u", IP: "192.0.2.1",
				Detail: map[string]string{"challenge": challenge}}); err != nil {
				t.Fatal(err)
			}
		}
		now := time.Now()
		for _, from := range []time.Time{now.Add(time.Minute), now.Add(-time.Minute)} { // the first is too late
			if err := log.DropAddress(t.Context(), "c1", from, from.Add(2*time.Minute)); err != nil {
				t.Fatal(err)
			}
			list, err := log.List(t.Context(), "u", audit.Entry{}, 10)
			if err != nil || len(list) != 2 {
				t.Fatal(list, err)
			}
			for _, e := range list {
				if dropped := e.IP == ""; dropped != (from.Before(now) && e.Detail["challenge"] == "c1") {
					t.Errorf("address %q of %s", e.IP, e.Detail["challenge"])
				}
			}
		}
	})
}
