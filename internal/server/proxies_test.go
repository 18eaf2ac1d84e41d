package server

import (
	"net/http"
	"testing"
)

func TestClientAddressIsTheLastThatIsNoProxyOfOurs(t *testing.T) {
	ours, err := parseProxies([]string{"10.0.0.0/8", "2001:db8:ffff::1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                       {"198.51.100.7:4711", []string{"192.0.2.1"}, "198.51.100.7"},
		"one proxy":                      {"10.0.0.1:4711", []string{"198.51.100.7"}, "198.51.100.7"},
		"two proxies":                    {"10.0.0.1:4711", []string{"192.0.2.1, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		"two headers":                    {"10.0.0.1:4711", []string{"192.0.2.1", "198.51.100.7"}, "198.51.100.7"},
		"with a port":                    {"10.0.0.1:4711", []string{"198.51.100.7:50123"}, "198.51.100.7"},
		"IPv6":                           {"[2001:db8:ffff::1]:4711", []string{"2001:db8::7"}, "2001:db8::7"},
		"IPv6 with a port":               {"10.0.0.1:4711", []string{"[2001:db8::7]:50123"}, "2001:db8::7"},
		"IPv6 in brackets":               {"10.0.0.1:4711", []string{"[2001:db8::7]"}, "2001:db8::7"},
		"IPv4 in IPv6":                   {"[::ffff:10.0.0.1]:4711", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		"a proxy with a port":            {"10.0.0.1:4711", []string{"198.51.100.7, 10.0.0.2:80"}, "198.51.100.7"},
		"nothing":                        {"10.0.0.1:4711", nil, "10.0.0.1"},
		"no address":                     {"10.0.0.1:4711", []string{"unknown"}, "10.0.0.1"},
		"what follows no address":        {"10.0.0.1:4711", []string{"192.0.2.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		"a host name with a port":        {"10.0.0.1:4711", []string{"localhost:80"}, "10.0.0.1"},
		"brackets that are not balanced": {"10.0.0.1:4711", []string{"[2001:db8::7"}, "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := ours.clientAddress(r).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
