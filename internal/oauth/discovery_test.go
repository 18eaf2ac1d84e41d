package oauth

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestDiscoveryGolden(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	r := b.get(pathOpenID)
	var v map[string]any
	must(t, json.Unmarshal([]byte(r.body), &v))
	if v["issuer"] != w.url {
		t.Errorf("issuer %v", v["issuer"])
	}
	for name, value := range v {
		if strings.HasSuffix(name, "_supported") {
			if reflect.TypeOf(value).Kind() == reflect.Slice && len(value.([]any)) == 0 || value == nil {
				t.Errorf("%s is empty", name)
			}
		}
	}
	out, err := json.MarshalIndent(v, "", "  ")
	must(t, err)
	wantGolden(t, "metadata.json", strings.ReplaceAll(string(out), w.url, "https://id.example.com")+"\n")
	if other := b.get(pathMetadata); other.body != r.body {
		t.Error("the two documents differ")
	}
}

func TestPublicDocumentsAreCachedAndShared(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for _, path := range []string{pathOpenID, pathMetadata, pathJWKS} {
		r := b.get(path, "Origin", "https://anywhere.example")
		etag := r.header.Get("ETag")
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "public, max-age=300" ||
			r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("Access-Control-Allow-Credentials") != "" || etag == "" {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
		if again := b.get(path, "If-None-Match", etag); again.status != http.StatusNotModified || again.body != "" || again.header.Get("ETag") != etag {
			t.Errorf("%s again: %d %v", path, again.status, again.header)
		}
		if other := b.get(path, "If-None-Match", `"x"`); other.status != http.StatusOK {
			t.Errorf("%s with another tag: %d", path, other.status)
		}
		if head := b.do(http.MethodHead, path, ""); head.status != http.StatusOK || head.body != "" || head.header.Get("ETag") != etag {
			t.Errorf("HEAD %s: %d", path, head.status)
		}
		if post := b.do(http.MethodPost, path, ""); post.status != http.StatusMethodNotAllowed || post.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, post.status)
		}
	}
}

// N-24: no header moves the issuer.
func TestIssuerComesFromTheConfiguration(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	headers := []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "Forwarded", "host=evil.example;proto=https", "X-Original-Host", "evil.example"}
	if r := b.get(pathOpenID, headers...); strings.Contains(r.body, "evil") || r.body != b.get(pathOpenID).body {
		t.Error(r.body)
	}
	q := webRequest("prompt", "none")
	q.wantError(b.get("/oauth2/authorize?"+q.Encode(), headers...), w.url, "login_required")
}

func TestJWKSHoldsPublicKeysOnly(t *testing.T) {
	w := newWorld(t)
	var set struct{ Keys []map[string]any }
	must(t, json.Unmarshal([]byte(w.browser(t).get(pathJWKS).body), &set))
	seen, algs := map[any]bool{}, map[any]bool{}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if k[private] != nil {
				t.Errorf("key %v has %s", k["kid"], private)
			}
		}
		if k["kid"] == nil || seen[k["kid"]] {
			t.Errorf("kid %v", k["kid"])
		}
		seen[k["kid"]], algs[k["alg"]] = true, true
	}
	for _, alg := range []string{"RS256", "ES256", "PS256", "EdDSA"} {
		if !algs[alg] {
			t.Errorf("no key for %s", alg)
		}
	}
}
