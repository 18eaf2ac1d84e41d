package fake_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

func office(t *testing.T, c fake.OfficeConfig) (*fake.Office, *httptest.Server) {
	t.Helper()
	f := fake.NewOffice(c)
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return f, srv
}

func look(t *testing.T, url, host string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func tencentOf(t *testing.T, url string) sms.Provider {
	t.Helper()
	const id, key = "fake0id0fake0id0fake0id0fake0id0", "fake0key0fake0key0fake0key0fake0"
	p, err := sms.NewTencent(sms.TencentConfig{Name: "tencent", Endpoint: url, SecretID: id, SecretKey: key, SDKAppID: "1400000001",
		SignName: "示例签名", Templates: map[sms.TemplateUse]sms.VendorTemplate{{}: {ID: "1110"}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func message(t *testing.T) sms.Message {
	t.Helper()
	n, err := sms.FromE164("+8613800138000")
	if err != nil {
		t.Fatal(err)
	}
	return sms.Message{ID: "m1", To: n, Purpose: sms.Login, Code: "048213", TTL: 5 * time.Minute}
}

func TestOfficeShowsWhatCameIn(t *testing.T) {
	t.Parallel()
	_, srv := office(t, fake.OfficeConfig{})
	if _, err := tencentOf(t, srv.URL).Send(t.Context(), message(t)); err != nil {
		t.Fatal(err)
	}
	status, header, page := look(t, srv.URL+"/", "")
	if status != http.StatusOK || !strings.Contains(page, "<b>048213</b>") || !strings.Contains(page, "+8613800138000") && !strings.Contains(page, "&#43;8613800138000") {
		t.Errorf("%d: %s", status, page)
	}
	if !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(page, "http:") || strings.Contains(page, "https:") {
		t.Error("the page may load things")
	}
	_, _, list := look(t, srv.URL+"/inbox", "")
	var got []fake.Received
	if err := json.Unmarshal([]byte(list), &got); err != nil || len(got) != 1 || got[0].Code() != "048213" || got[0].To != "+8613800138000" {
		t.Errorf("%v: %s", err, list)
	}
}

// A web page elsewhere that has its own name point here reads no code.
func TestOfficeIsForThisMachineAlone(t *testing.T) {
	t.Parallel()
	_, srv := office(t, fake.OfficeConfig{})
	for host, want := range map[string]int{
		"localhost:9199": 200, "127.0.0.1:9199": 200, "[::1]:9199": 200,
		"evil.example": 421, "192.0.2.1:9199": 421, "localhost.evil.example": 421,
	} {
		if status, _, _ := look(t, srv.URL+"/inbox", host); status != want {
			t.Errorf("%s: %d", host, status)
		}
	}
	_, open := office(t, fake.OfficeConfig{Remote: true})
	if status, _, _ := look(t, open.URL+"/inbox", "sms.test.example"); status != http.StatusOK {
		t.Errorf("remote: %d", status)
	}
}

func TestOfficeFailsAsTold(t *testing.T) {
	t.Parallel()
	f, srv := office(t, fake.OfficeConfig{})
	p := tencentOf(t, srv.URL)
	for what, class := range map[string]string{"FailedOperation.PhoneNumberInBlacklist": "class B", "http500": "class A", "AuthFailure.SignatureFailure": "class C"} {
		if err := f.Fail("tencent", what); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(t.Context(), message(t)); err == nil || !strings.Contains(err.Error(), class) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, bad := range [][2]string{{"nobody", "http500"}, {"aliyun", ""}} {
		if f.Fail(bad[0], bad[1]) == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
	if n := len(f.Inbox.Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestOfficeKeepsVendorsLimitsUnlessTold(t *testing.T) {
	t.Parallel()
	for unlimited, want := range map[bool]int{false: 1, true: 4} {
		f, srv := office(t, fake.OfficeConfig{Unlimited: unlimited})
		p := tencentOf(t, srv.URL)
		for range 4 {
			_, _ = p.Send(t.Context(), message(t))
		}
		if n := len(f.Inbox.Messages()); n != want {
			t.Errorf("unlimited %v: %d messages", unlimited, n)
		}
	}
}
