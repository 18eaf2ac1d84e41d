package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// The reports of each vendor come in at the path that an operator is told, on
// any replica, and are counted; nobody else learns that there is such a path.
func TestDeliveryReports(t *testing.T) {
	const key, secret = "id-of-the-tests", "0123456789abcdef0123456789abcdef"
	one, two := []fake.Param{{Name: "code"}}, []fake.Param{{Name: "code"}, {Name: "minutes"}}
	config := func(text string, params []fake.Param) fake.Config {
		return fake.Config{Templates: []fake.Template{{ID: "SMS_1", Text: text, Params: params}}}
	}
	aliyun := fake.NewAliyun(fake.AliyunConfig{Config: config("验证码${code}", one), Keys: map[string]string{key: secret}})
	tencent := fake.NewTencent(fake.TencentConfig{Config: config("验证码{1}，{2}分钟内有效", two), Keys: map[string]string{key: secret}})
	netease := fake.NewNetEase(fake.NetEaseConfig{Config: config("验证码#{code}", one), Apps: map[string]string{key: secret}})
	members := fmt.Sprintf(`
    aliyun: {type: aliyun, endpoint: %q, access_key_id: %[2]s, access_key_secret: %[3]s, sign_name: 示例签名, template_code: SMS_1}
    tencent: {type: tencent, endpoint: %[4]q, secret_id: %[2]s, secret_key: %[3]s, sdk_app_id: "1400000001", sign_name: 示例签名, template_id: SMS_1}
    netease: {type: netease, endpoint: %[5]q, app_key: %[2]s, app_secret: %[3]s, template_id: SMS_1}`,
		serve(t, aliyun.ServeHTTP), key, secret, serve(t, tencent.ServeHTTP), serve(t, netease.ServeHTTP))
	vendors := []struct {
		name string
		fake fake.Reporter
	}{{"aliyun", aliyun}, {"tencent", tencent}, {"netease", netease}}
	for i, m := range []mode{modes[0], modes[3], modes[4]} {
		vendor := vendors[i]
		t.Run(vendor.name+" on "+m.name, func(t *testing.T) {
			s := startWith(t, m, options{vendors: members, route: vendor.name})
			path := s.receiptPath(t, vendor.name)
			ctx, cancel := context.WithCancel(t.Context())
			pusher := &fake.Pusher{
				Vendor: vendor.fake, URL: s.issuer + path, Delay: 500 * time.Millisecond, Retry: []time.Duration{},
				Plan: func(m fake.Received) []fake.Report {
					return []fake.Report{{Message: m, Delivered: true}, {Message: m, Delivered: true}, {Message: m, At: time.Now().Add(-time.Hour)}}
				},
			}
			wait := pusher.Follow(ctx)
			a, number := newAgent(t, s), newNumber()
			flow := a.authorize(newRequest("web", "https://rp.example/cb")).location(t).Query().Get("flow")
			a.post("/login", values("flow", flow, "phone", number)).location(t)
			want := fmt.Sprintf(`dialtone_sms_delivery_reports_total{provider="%s",status="%%s"} %%d`, vendor.name)
			s.waitForMetrics(t, fmt.Sprintf(want, "duplicate", 2), fmt.Sprintf(want, "delivered", 1))
			cancel()
			wait()

			s.refusesReports(t, path)
			if vendor.name == "netease" {
				if status, text := post(t, s.issuer+path, "[]"); status != http.StatusForbidden || !strings.Contains(text, "receipts_signature_invalid") {
					t.Errorf("a forged push: %d %s", status, text)
				}
				s.waitForMetrics(t, fmt.Sprintf(want, "refused", 2)) // and the one that was too large
			}
			log := s.log.String()
			for _, hidden := range []string{path[strings.LastIndexByte(path, '/')+1:], number[3:]} {
				if strings.Contains(log, hidden) {
					t.Error("the log shows a path secret or a number")
				}
			}
		})
	}
}

// refusesReports: whatever is not quite the path is a plain 404.
func (s *stack) refusesReports(t *testing.T, path string) {
	t.Helper()
	nothing, text := post(t, s.issuer+"/v1/sms/receipts/nobody/x", "[]")
	if nothing != http.StatusNotFound {
		t.Errorf("an unknown provider: %d %s", nothing, text)
	}
	for _, wrong := range []string{path[:len(path)-1], path + "x", strings.Replace(path, "/receipts/", "/receipts/x", 1), "/v1/sms/receipts/sink/" + path[strings.LastIndexByte(path, '/')+1:]} {
		if status, got := post(t, s.issuer+wrong, "[]"); status != nothing || got != text {
			t.Errorf("%d %q, want %d %q", status, got, nothing, text)
		}
	}
	if status, got := post(t, s.issuer+path, strings.Repeat(" ", 257<<10)); status != http.StatusRequestEntityTooLarge || !strings.HasPrefix(got, "receipts_too_large: ") {
		t.Errorf("too much: %d %s", status, got)
	}
}

// receiptPath is what an operator is told, who has the database and the master secret.
func (s *stack) receiptPath(t *testing.T, provider string) string {
	t.Helper()
	d, err := db.Open(t.Context(), s.database)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	v, err := signing.OpenVault(t.Context(), d, [][]byte{[]byte(masterSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return sms.ReceiptPath(v, provider)
}

// waitForMetrics waits until each line stands in some replica's metrics, or their
// sum does.
func (s *stack) waitForMetrics(t *testing.T, lines ...string) {
	t.Helper()
	sum := func(line string) (n, want int) {
		name := line[:strings.LastIndexByte(line, ' ')+1]
		fmt.Sscan(line[len(name):], &want)
		for _, operator := range s.metrics {
			resp, err := http.Get(operator + "/metrics") //nolint:gosec // of this test
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			for got := range strings.Lines(string(body)) {
				if rest, ok := strings.CutPrefix(got, name); ok {
					var one int
					fmt.Sscan(rest, &one)
					n += one
				}
			}
		}
		return n, want
	}
	for _, line := range lines {
		n, want := sum(line)
		for range 300 {
			if n >= want {
				break
			}
			time.Sleep(20 * time.Millisecond)
			n, want = sum(line)
		}
		if n != want {
			t.Fatalf("%s: got %d\n%s", line, n, s.log)
		}
	}
}

func post(t *testing.T, url, body string) (status int, text string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body)) //nolint:gosec // of this test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
