package user

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// remember signs the numbers in on one device, in order, and returns its cookie.
func remember(t *testing.T, s *Service, cookie *http.Cookie, numbers ...int) *http.Cookie {
	t.Helper()
	for _, i := range numbers {
		rec := httptest.NewRecorder()
		s.rememberDevice(rec, device(cookie), number(t, fixture(i)))
		cookie = rec.Result().Cookies()[0]
	}
	return cookie
}

func device(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, issuer+"/login", nil)
	for _, c := range cookies {
		if c != nil {
			r.AddCookie(c)
		}
	}
	return r
}

func TestADeviceKnowsItsLastFiveNumbers(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	cookie := remember(t, h.users, nil, 0, 1, 2, 3, 4, 1, 5) // 1 came again, so 0 is the oldest
	for i, want := range []bool{false, true, true, true, true, true, false} {
		if got := h.users.KnownDevice(device(cookie), number(t, fixture(i))); got != want {
			t.Errorf("number %d known: %v", i, got)
		}
	}
	if len(cookie.Value) > 300 {
		t.Errorf("the cookie has %d bytes", len(cookie.Value))
	}
	if cookie.Name != deviceName || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" {
		t.Errorf("cookie %v", cookie)
	}
}

func TestForgedDevicesAreUnknown(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	a, b := remember(t, h.users, nil, 0), remember(t, h.users, nil, 1)
	n := number(t, fixture(0))
	payload, mac, _ := strings.Cut(a.Value, ".")
	_, otherMAC, _ := strings.Cut(b.Value, ".")
	for name, value := range map[string]string{
		"empty": "", "dot": ".", "no MAC": payload, "empty MAC": payload + ".", "MAC of another": payload + "." + otherMAC,
		"cut": a.Value[:len(a.Value)-1], "longer": a.Value + "A", "payload alone twice": payload + "." + payload,
		"no payload": "." + mac, "not base64": "%%%." + mac,
	} {
		r := device()
		r.Header.Set("Cookie", deviceName+"="+value)
		if h.users.KnownDevice(r, n) {
			t.Errorf("%s: known", name)
		}
	}
	if h.users.KnownDevice(device(a, a), n) {
		t.Error("two cookies of the name: known")
	}
	if !h.users.KnownDevice(device(a), n) {
		t.Error("the genuine one is not")
	}
	// A number looks different on every device, so cookies cannot be compared.
	again := remember(t, h.users, nil, 0)
	_, tagsA := h.users.device(device(a))
	_, tagsB := h.users.device(device(again))
	if string(tagsA[:deviceTagSize]) == string(tagsB[:deviceTagSize]) {
		t.Error("one number has the same hash on two devices")
	}
}

func TestDevicesOutliveAChangeOfTheMasterSecret(t *testing.T) {
	d := dbtest.Open(t)
	old, fresh := []byte("an old master secret of thirty-two bytes"), []byte("a new master secret of thirty-two bytes")
	open := func(masters ...[]byte) *Service {
		v, err := signing.OpenVault(t.Context(), d, masters)
		if err != nil {
			t.Fatal(err)
		}
		return New(d, v, nil)
	}
	cookie := remember(t, open(old), nil, 0)
	if !open(fresh, old).KnownDevice(device(cookie), number(t, fixture(0))) {
		t.Error("forgotten")
	}
	if open(fresh).KnownDevice(device(cookie), number(t, fixture(0))) {
		t.Error("known under a master that is gone")
	}
}
