package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Mistakes that sign-in by SMS is often built with, in the numbering of the
// security requirements, as a stranger would try them: over HTTP alone. Other
// tests go deeper into each; this one is where they are all to be found.
func TestOriginalMistakes(t *testing.T) {
	s := start(t, modes[0])
	for name, test := range map[string]func(*testing.T, *stack){
		"S-01 nothing was sent and nothing typed":       nothingIsNoCode,
		"S-02 codes are short or guessable":             codesAreSixDigits,
		"S-03 a code works twice":                       codesWorkOnce,
		"S-04 tries and sends have no limit":            triesAndSendsHaveLimits,
		"S-05 guesses of strangers burn codes":          strangersBurnNothing,
		"S-06 the pause is checked, then set":           sendsAtOnceAreOne,
		"S-08 sent is what they say whatever happened":  failuresAreTold,
		"S-09 an answer of 500 where there is no code":  badInputIsTheirs,
		"S-10 GET sends, and numbers stand in URLs":     getSendsNothing,
		"S-11 it is told whether a number is known":     numbersAreNotTold,
		"S-12 a pattern without its end":                patternsHaveEnds,
		"S-13 errors show the inside":                   errorsShowNothing,
		"S-17 an account without proof of its number":   accountsNeedProof,
		"S-18 an empty password is no password":         noPasswordSignsIn,
		"S-19 one field for number, address and name":   numbersAreNumbers,
		"S-20 tokens lie where scripts can read them":   cookiesAreNotForScripts,
		"S-07 a failed send replaces the code":          failedSendsReplaceNothing,
		"S-16 without a human check it is a weaker one": noCheckIsNoPass,
		"S-14 secrets and numbers in the repository":    repositoryHasNoSecrets,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
	t.Run("S-15 numbers and codes in the log", func(t *testing.T) {
		logged := s.log.String()
		if len(logged) < 10_000 {
			t.Fatal("there is nothing to scan")
		}
		for _, secret := range s.sink.all() {
			if len(secret) == 6 && containsWord(logged, secret) || len(secret) != 6 && strings.Contains(logged, secret) {
				t.Errorf("a secret of %d characters is in the log", len(secret))
			}
		}
	})
}

// ask requests a native challenge.
func (a *agent) ask(body map[string]any) reply {
	a.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, a.s.issuer+"/v1/sms/challenges", strings.NewReader(string(raw)))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return a.do(req)
}

// smsGrant redeems a native challenge.
func (a *agent) smsGrant(challenge, code string) reply {
	a.t.Helper()
	return a.token("app", url.Values{"grant_type": {"urn:dialtone:params:oauth:grant-type:sms-code"}, "challenge_id": {challenge}, "code": {code}, "scope": {"openid phone"}})
}

func (a *agent) flow() string {
	a.t.Helper()
	return a.authorize(newRequest("web", "https://rp.example/cb")).location(a.t).Query().Get("flow")
}

// signedIn says whether this browser has a session.
func (a *agent) signedIn() bool {
	a.t.Helper()
	q := newRequest("web", "https://rp.example/cb")
	q.extra = url.Values{"prompt": {"none"}}
	return a.authorize(q).location(a.t).Query().Get("code") != ""
}

func badInputIsTheirs(t *testing.T, s *stack) {
	a := newAgent(t, s)
	flow := a.flow()
	for _, path := range []string{"/login", "/login/code", "/login/code/resend", "/oauth2/token", "/oauth2/revoke", "/consent", "/logout"} {
		for _, form := range []url.Values{{}, {"flow": {flow}}, {"flow": {""}, "challenge": {"\x00"}, "code": {"٣"}}, {"flow": {flow}, "challenge": {strings.Repeat("x", 5000)}, "code": {"1e5"}}} {
			if r := a.post(path, form); r.status >= 500 {
				t.Errorf("%s %v: %d", path, form, r.status)
			}
		}
	}
}

func getSendsNothing(t *testing.T, s *stack) {
	a, number := newAgent(t, s), newNumber()
	before, flow := s.sink.total(), a.flow()
	for _, path := range []string{"/login?flow=" + flow + "&phone=", "/login/code/resend?flow=" + flow + "&phone=", "/v1/sms/challenges?client_id=app&phone="} {
		a.get(path + url.QueryEscape(number))
	}
	form := values("flow", flow, "phone", number)
	if r := a.post("/login", form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); r.status != http.StatusForbidden {
		t.Errorf("a form from another site: %d", r.status)
	}
	if n := s.sink.total() - before; n != 0 {
		t.Fatalf("%d messages", n)
	}
	to := a.post("/login", form).location(t).String()
	if strings.Contains(to, number[3:]) || strings.Contains(to, s.sink.last(t, number)) {
		t.Errorf("the number or its code is in %s", to)
	}
}

func numbersAreNotTold(t *testing.T, _ *stack) {
	s := startWith(t, modes[0], options{limits: ", cooldown: 1s"})
	known, unknown := newNumber(), newNumber()
	a := newAgent(t, s)
	c := text(a.ask(map[string]any{"client_id": "app", "phone": known}).json(t), "challenge_id")
	if r := a.smsGrant(c, s.sink.last(t, known)); r.json(t)["user_created"] != true {
		t.Fatalf("register: %d %s", r.status, r.body)
	}
	time.Sleep(1100 * time.Millisecond) // the pause between two messages, which no setting makes shorter
	look := func(number string) string {
		b := newAgent(t, s)
		flow := b.flow()
		r := b.post("/login", values("flow", flow, "phone", number))
		page := b.get(r.location(t).String())
		answer := fmt.Sprint(r.status, page.status, page.body)
		native := b.ask(map[string]any{"client_id": "app", "phone": number})
		answer += fmt.Sprint(native.status, keys(native.json(t)))
		answer = strings.NewReplacer(flow, "FLOW", number[3:], "NUMBER", number[8:], "LAST").Replace(answer)
		// Waiting times, request ids and nonces differ anyway.
		return regexp.MustCompile(`[0-9]+|nonce-?="?[^" ']*|[0-9a-zA-Z_-]{16,}`).ReplaceAllString(answer, "#")
	}
	if one, other := look(known), look(unknown); one != other {
		t.Errorf("a known number is answered\n%s\nan unknown one\n%s", one, other)
	}
	for _, path := range []string{"/v1/users?phone=", "/login/check?phone=", "/.well-known/webfinger?resource=acct:"} {
		if r := a.get(path + url.QueryEscape(known)); r.status != http.StatusNotFound {
			t.Errorf("%s answers %d", path, r.status)
		}
	}
}

func patternsHaveEnds(t *testing.T, s *stack) {
	a, before := newAgent(t, s), s.sink.total()
	for _, phone := range []string{"138001380001", "13800138000x", "13800138000\n", "13800138000\n13800138001", "13800138000,13800138001", "x13800138000", "13800138000%00"} {
		if r := a.ask(map[string]any{"client_id": "app", "phone": phone}); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d", phone, r.status)
		}
	}
	if n := s.sink.total() - before; n != 0 {
		t.Errorf("%d messages", n)
	}
}

func errorsShowNothing(t *testing.T, s *stack) {
	a, number := newAgent(t, s), newNumber()
	w := a.begin(newRequest("web", "https://rp.example/cb"), number)
	bad := w
	bad.code = wrongOf(w.code)
	for _, body := range []string{
		a.finish(bad).body, a.ask(map[string]any{"client_id": "app", "phone": number}).body, a.ask(map[string]any{"client_id": "app", "phone": map[string]any{}}).body,
		a.smsGrant("x", "000000").body, a.get("/nowhere").body, a.post("/oauth2/token", url.Values{"a": {"%"}}).body,
	} {
		for _, inside := range []string{number, number[3:], "goroutine", "SELECT", "sms_ledger", ".go:", "panic", s.sink.url} {
			if strings.Contains(body, inside) {
				t.Errorf("an error shows %q", inside)
			}
		}
		if containsWord(body, w.code) {
			t.Error("an error shows the code")
		}
	}
	for _, path := range []string{"/debug/pprof/", "/metrics", "/readyz", "/debug/vars"} {
		if r := a.get(path); r.status != http.StatusNotFound {
			t.Errorf("%s is public: %d", path, r.status)
		}
	}
}

func accountsNeedProof(t *testing.T, s *stack) {
	number := newNumber()
	stranger := newAgent(t, s)
	c := text(stranger.ask(map[string]any{"client_id": "app", "phone": number}).json(t), "challenge_id")
	code := s.sink.last(t, number)
	stranger.smsGrant(c, wrongOf(code))
	if r := stranger.get("/register"); r.status == http.StatusOK {
		t.Error("there is a page to register on: let this test try it without a code")
	}
	r := stranger.smsGrant(c, code)
	if r.json(t)["user_created"] != true {
		t.Errorf("an account was there before its number was proved: %s", r.body)
	}
}

// There are no passwords yet: nothing takes one, an empty one least of all.
func noPasswordSignsIn(t *testing.T, s *stack) {
	a, number := newAgent(t, s), newNumber()
	c := text(a.ask(map[string]any{"client_id": "app", "phone": number}).json(t), "challenge_id")
	a.smsGrant(c, s.sink.last(t, number))
	for _, password := range [][]string{nil, {""}, {"null"}, {number}} {
		form := url.Values{"grant_type": {"password"}, "username": {number}}
		page := values("flow", a.flow(), "identifier", number)
		if password != nil {
			form["password"], page["password"] = password, password
		}
		if r := a.token("web", form); r.status != http.StatusBadRequest || r.json(t)["error"] != "unsupported_grant_type" {
			t.Errorf("the password grant: %d %s", r.status, r.body)
		}
		if r := a.post("/login/password", page); r.status == http.StatusSeeOther || a.signedIn() {
			t.Errorf("the password page: %d", r.status)
		}
	}
}

func numbersAreNumbers(t *testing.T, s *stack) {
	a, before := newAgent(t, s), s.sink.total()
	for _, other := range []string{"someone@example.com", "someone", "13800138000@example.com", "user:13800138000", "0"} {
		if r := a.ask(map[string]any{"client_id": "app", "phone": other}); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d", other, r.status)
		}
	}
	if n := s.sink.total() - before; n != 0 {
		t.Errorf("%d messages", n)
	}
}

func cookiesAreNotForScripts(t *testing.T, s *stack) {
	a := newAgent(t, s)
	r := a.finish(a.begin(newRequest("web", "https://rp.example/cb"), newNumber()))
	found := false
	for _, cookie := range r.header.Values("Set-Cookie") {
		found = found || strings.Contains(cookie, "session=")
		if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=") || !strings.Contains(cookie, "Path=/;") && !strings.HasSuffix(cookie, "Path=/") || strings.Contains(cookie, "Domain=") {
			t.Errorf("a cookie that others can read: %s", strings.SplitN(cookie, "=", 2)[0])
		}
	}
	if !found {
		t.Error("no session cookie; TestProductionOverTLS says what it is called over https")
	}
	scripts, err := filepath.Glob("../../web/static/*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, file := range scripts {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, place := range []string{"sessionStorage", "localStorage", "document.cookie", "access_token", "id_token"} {
			if strings.Contains(string(body), place) {
				t.Errorf("%s uses %s", file, place)
			}
		}
	}
}

// Fixtures are numbers that belong to nobody, and secrets that open nothing.
func repositoryHasNoSecrets(t *testing.T, _ *stack) {
	suspicious := map[string]*regexp.Regexp{
		"an access key id of Aliyun":      regexp.MustCompile(`LTAI[0-9A-Za-z]{12,}`),
		"a secret id of Tencent Cloud":    regexp.MustCompile(`AKID[0-9A-Za-z]{13,}`),
		"a private key":                   regexp.MustCompile(`-----BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY-----\n[A-Za-z0-9+/]{40}`),
		"a mainland number of somebody's": regexp.MustCompile(`(^|[^0-9A-Za-z.])(\+86)?1[3-9][0-9]{9}([^0-9A-Za-z.]|$)`),
	}
	fixture := regexp.MustCompile(`1380013|138[0-9*]{4}8|1(4[0-9]|61|79)00138000`)
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "data" || name == "node_modules" || name == "fuzz" {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".md", ".yaml", ".yml", ".json", ".html", ".js", ".sql", ".txtar", ".sh", "":
		default:
			return nil
		}
		body, err := readUpTo(path, 1<<20)
		if err != nil {
			return err
		}
		files++
		for what, pattern := range suspicious {
			for _, hit := range pattern.FindAllString(body, -1) {
				if !fixture.MatchString(hit) {
					t.Errorf("%s: %s", path, what)
				}
			}
		}
		return nil
	})
	if err != nil || files < 200 {
		t.Errorf("%d files, %v", files, err)
	}
}

func readUpTo(path string, most int64) (string, error) {
	f, err := os.Open(path) //nolint:gosec // of this repository
	if err != nil {
		return "", err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, most))
	return string(body), err
}
