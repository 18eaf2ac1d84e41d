package captcha

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const (
	geetestID  = "647f5ed2ed8acb4be36784e01556bb71"
	geetestKey = "dialtone-geetest-test-key"
)

// geetest stands in for the vendor: it registers, hands out proofs as its
// widget would, and judges them as strictly as the vendor does, once each.
type geetest struct {
	*httptest.Server
	mu         sync.Mutex
	fault      string
	calls      int
	registered map[string]string // user by the challenge that the widget gets
	solved     map[string]string // what must come back, by challenge or lot
}

func newGeetestFake(t testing.TB) *geetest {
	g := &geetest{registered: map[string]string{}, solved: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /register.php", g.register)
	mux.HandleFunc("POST /validate.php", g.validateV3)
	mux.HandleFunc("POST /validate", g.validateV4)
	g.Server = httptest.NewServer(g.faulty(mux))
	t.Cleanup(g.Close)
	return g
}

// fail has every call fail in a way from now on; "" is the ordinary course.
func (g *geetest) fail(how string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = how
}

func (g *geetest) called() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

func (g *geetest) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.calls++
		fault := g.fault
		g.mu.Unlock()
		switch fault {
		case "":
			next.ServeHTTP(w, r)
		case "hang":
			_, _ = io.Copy(io.Discard, r.Body) // only then is the end of the connection noticed
			<-r.Context().Done()
		case "reset":
			panic(http.ErrAbortHandler)
		case "status 500":
			http.Error(w, `{"status":"success","result":"success"}`, http.StatusInternalServerError)
		case "redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "huge":
			fmt.Fprint(w, strings.Repeat(" ", maxReply), `{"status":"success","result":"success"}`)
		default: // the answer itself, with status 200
			fmt.Fprint(w, fault)
		}
	})
}

func (g *geetest) register(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("gt") != geetestID || q.Get("json_format") != "1" || q.Get("digestmod") != "md5" || q.Get("sdk") == "" {
		fmt.Fprint(w, `{"challenge":"0"}`)
		return
	}
	random := make([]byte, 16)
	rand.Read(random)
	origin := hex.EncodeToString(random)
	g.mu.Lock()
	g.registered[md5Hex(origin+geetestKey)] = q.Get("user_id")
	g.mu.Unlock()
	fmt.Fprintf(w, `{"challenge":%q}`, origin)
}

// solveV3 is what the widget gives once a person has slid its piece home.
func (g *geetest) solveV3(challenge string) map[string]string {
	posted := challenge + "ky"
	validate := md5Hex(geetestKey + "geetest" + posted)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.solved[posted] = validate + "|jordan"
	return map[string]string{"geetest_challenge": posted, "geetest_validate": validate, "geetest_seccode": validate + "|jordan"}
}

func (g *geetest) validateV3(w http.ResponseWriter, r *http.Request) {
	challenge, seccode := r.PostFormValue("challenge"), r.PostFormValue("seccode")
	g.mu.Lock()
	want, known := g.solved[challenge]
	delete(g.solved, challenge)
	user := ""
	if known {
		user = g.registered[challenge[:32]]
	}
	g.mu.Unlock()
	if !known || seccode != want || r.PostFormValue("captchaid") != geetestID || user == "" || r.PostFormValue("user_id") != user {
		fmt.Fprint(w, `{"seccode":"false"}`)
		return
	}
	fmt.Fprintf(w, `{"seccode":%q}`, md5Hex(seccode))
}

// solveV4 is what the widget of version 4 gives.
func (g *geetest) solveV4() map[string]string {
	random := make([]byte, 16)
	rand.Read(random)
	lot, pass := hex.EncodeToString(random), rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.solved[lot] = pass
	return map[string]string{
		"captcha_id": geetestID, "lot_number": lot, "pass_token": pass, "gen_time": "1795000000", "captcha_output": strings.Repeat("aB3-_=", 100),
	}
}

func (g *geetest) validateV4(w http.ResponseWriter, r *http.Request) {
	lot := r.PostFormValue("lot_number")
	g.mu.Lock()
	pass, known := g.solved[lot]
	delete(g.solved, lot)
	g.mu.Unlock()
	switch {
	case strings.Trim(r.PostFormValue("gen_time"), "0123456789") != "":
		fmt.Fprint(w, `{"status":"error","code":"-50005","msg":"illegal gen_time","desc":{"type":"defined error"}}`)
	case r.URL.Query().Get("captcha_id") != geetestID, r.PostFormValue("sign_token") != geetestSign(geetestKey, lot), r.PostFormValue("captcha_output") == "":
		fmt.Fprint(w, `{"status":"success","result":"fail","reason":"sign_token error","captcha_args":{}}`)
	case !known || r.PostFormValue("pass_token") != pass:
		fmt.Fprint(w, `{"status":"success","result":"fail","reason":"pass_token expire","captcha_args":{}}`)
	default:
		fmt.Fprint(w, `{"status":"success","result":"success","reason":"","captcha_args":{"used_type":"slide"}}`)
	}
}

// deadEndpoint is an address where nobody listens.
func deadEndpoint(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}
