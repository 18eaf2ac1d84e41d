package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	assetPath  = "/assets/"
	hashDigits = 12
)

// contentTypes of the kinds of asset there are.
func contentType(name string) (string, error) {
	switch ext := path.Ext(name); ext {
	case ".css":
		return "text/css; charset=utf-8", nil
	case ".js":
		return "text/javascript; charset=utf-8", nil
	case ".svg":
		return "image/svg+xml", nil
	default:
		return "", fmt.Errorf("no content type for %q", name)
	}
}

// asset is a file with its variants, prepared once.
type asset struct {
	url, contentType string
	etag             string // strong; the compressed variant has its own
	body, gzipped    []byte // gzipped is nil where it would not be smaller
}

// assets by file name ("dialtone.css") and by path with hash.
type assets struct {
	byName map[string]*asset
	byURL  map[string]*asset
}

func loadAssets(files embed.FS) (assets, error) {
	a := assets{byName: map[string]*asset{}, byURL: map[string]*asset{}}
	paths, err := fs.Glob(files, "static/*")
	if err != nil {
		return a, err
	}
	for _, p := range paths {
		body, err := files.ReadFile(p)
		if err != nil {
			return a, err
		}
		if err := a.add(path.Base(p), body); err != nil {
			return a, err
		}
	}
	for _, t := range []theme{themeLight, themeDark} {
		if err := a.add(t.sheet(), fixed(a.body(themeSystem.sheet()), t)); err != nil {
			return a, err
		}
	}
	// What some pages need together comes in one request.
	return a, a.add("signin.js", slices.Concat(a.body("dialtone.js"), []byte("\n"), a.body("passkey.js")))
}

func (a assets) body(name string) []byte {
	if one := a.byName[name]; one != nil {
		return one.body
	}
	return nil
}

func (a assets) add(name string, body []byte) error {
	one, err := newAsset(name, body)
	if err != nil {
		return err
	}
	a.byName[name] = one
	a.byURL[one.url] = one
	return nil
}

func newAsset(name string, body []byte) (*asset, error) {
	kind, err := contentType(name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])[:hashDigits]
	ext := path.Ext(name)
	one := &asset{
		url:         assetPath + strings.TrimSuffix(name, ext) + "." + hash + ext,
		contentType: kind, etag: hash, body: body,
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if b.Len() < len(body) {
		one.gzipped = b.Bytes()
	}
	return one, nil
}

// url is the template function asset.
func (a assets) url(name string) (string, error) {
	one, ok := a.byName[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return one.url, nil
}

// Assets serves GET /assets/NAME.HASH.EXT: a name says its content, so it may
// be kept for ever. A page of another release, which a replica may still serve or
// serve already, gets the file as it is here. Mount it at /assets/ without stripping
// the prefix.
func (s *Site) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if one, ok := s.assets.byURL[r.URL.Path]; ok {
			one.serve(w, r, "public, max-age=31536000, immutable")
			return
		}
		if one, ok := s.assets.byName[unhashed(r.URL.Path)]; ok {
			one.serve(w, r, "no-cache")
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		http.NotFound(w, r)
	})
}

// unhashed is the file name of an asset's address, whatever its hash; "" if it is none.
func unhashed(address string) string {
	name, ok := strings.CutPrefix(address, assetPath)
	parts := strings.Split(name, ".")
	if !ok || len(parts) != 3 || len(parts[1]) != hashDigits || strings.Trim(parts[1], "0123456789abcdef") != "" {
		return ""
	}
	return parts[0] + "." + parts[2]
}

// Favicon serves the mark at /favicon.ico, for browsers that ask unprompted.
func (s *Site) Favicon() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.assets.byName["mark.svg"].serve(w, r, "public, max-age=86400")
	})
}

func (one *asset) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, etag := one.body, `"`+one.etag+`"`
	if one.gzipped != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, etag = one.gzipped, `"`+one.etag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Cache-Control", cache)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") // of an SVG opened by itself
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("ETag", etag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	if matchesETag(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", one.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3) as far as gzip
// matters.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, isWeight := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
		if !isWeight {
			return true
		}
		v, err := strconv.ParseFloat(q, 64)
		return err == nil && v > 0
	}
	return false
}

// matchesETag compares weakly, as RFC 9110 section 13.1.2 wants it for GET.
func matchesETag(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == etag {
			return true
		}
	}
	return false
}
