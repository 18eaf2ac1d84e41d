package fake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// What is pushed: each message's plan in its order, once the delay is over; until
// it is acknowledged.
func TestPusherFollows(t *testing.T) {
	var mu sync.Mutex
	var words []string
	refusals := 2
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var list []struct {
			ErrCode string `json:"err_code"`
			OutID   string `json:"out_id"`
		}
		if json.NewDecoder(r.Body).Decode(&list) != nil || len(list) != 1 || list[0].OutID != "flow-1" {
			t.Errorf("pushed %+v", list)
		}
		mu.Lock()
		defer mu.Unlock()
		words = append(words, list[0].ErrCode)
		if refusals--; refusals >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, `{"code":0}`)
	}))
	defer srv.Close()
	d := newAliyunDesk()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	p := &Pusher{Vendor: d.Aliyun, URL: srv.URL, Delay: time.Millisecond, Retry: []time.Duration{0, 0, 0}, Plan: func(m Received) []Report {
		return []Report{{Message: m, Pending: true}, {Message: m, Code: "INVALID_NUMBER"}, {Message: m, Delivered: true}}
	}}
	p.Tamper = func(_ http.Header, body []byte) []byte {
		if strings.Contains(string(body), `"DELIVERED"`) {
			defer close(done)
		}
		return body
	}
	wait := p.Follow(ctx)
	params := d.params()
	params["OutId"] = "flow-1"
	if status, code := d.post(false, params, nil); status != http.StatusOK || code != "OK" {
		t.Fatalf("%d %s", status, code)
	}
	<-done
	for len(d.known("+8613800138080")) == 0 || d.known("+8613800138080")[0].Pending {
		time.Sleep(time.Millisecond)
	}
	for {
		mu.Lock()
		n := len(words)
		mu.Unlock()
		if n >= 5 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	wait()
	if got := strings.Join(words, " "); got != "REQUEST_SUCCESS REQUEST_SUCCESS REQUEST_SUCCESS INVALID_NUMBER DELIVERED" {
		t.Errorf("pushed %s", got)
	}
	p.Retry = []time.Duration{}
	refusals = 1
	if err := p.Push(t.Context(), Report{Message: Received{To: "+8613800138080", MessageID: "flow-1"}}); !errors.Is(err, ErrNotAcknowledged) {
		t.Errorf("%v", err)
	}
}

// Vendors are as strict about answers as their documentation is.
func TestAcknowledgements(t *testing.T) {
	for name, v := range map[string]struct {
		vendor Reporter
		good   []string
		bad    []string
	}{
		"aliyun":  {newAliyunDesk().Aliyun, []string{`{"code":0,"msg":"接收成功"}`, `{"code":7}`}, []string{`{"code":"0"}`, `{}`, `OK`, ``, `[]`}},
		"tencent": {newTencentDesk().Tencent, []string{`{"result":0,"errmsg":"OK"}`}, []string{`{"result":1}`, `{"result":"0"}`, `{}`, ``}},
		"netease": {netEaseFake(false), []string{`{"code":200}`}, []string{`{"code":500}`, `{}`, ``}},
	} {
		for _, body := range v.good {
			if !v.vendor.Acknowledged(http.StatusOK, []byte(body)) || v.vendor.Acknowledged(http.StatusAccepted, []byte(body)) {
				t.Errorf("%s: %s", name, body)
			}
		}
		for _, body := range v.bad {
			if v.vendor.Acknowledged(http.StatusOK, []byte(body)) {
				t.Errorf("%s takes %s", name, body)
			}
		}
	}
}

func TestQuerySendDetails(t *testing.T) {
	d := newAliyunDesk()
	if status, code := d.post(false, d.params(), nil); status != http.StatusOK || code != "OK" {
		t.Fatalf("%d %s", status, code)
	}
	query := func(change map[string]string) string {
		params := d.params()
		for _, name := range []string{"PhoneNumbers", "SignName", "TemplateCode", "TemplateParam"} {
			delete(params, name)
		}
		for name, value := range map[string]string{"Action": "QuerySendDetails", "PhoneNumber": "13800138080", "SendDate": "20260102", "PageSize": "10", "CurrentPage": "1"} {
			params[name] = value
		}
		for name, value := range change {
			params[name] = value
		}
		_, code := d.post(true, params, nil)
		return code
	}
	for code, changes := range map[string][]map[string]string{
		"OK":                        {nil, {"SendDate": "20260101"}, {"PhoneNumber": "12025550101"}, {"CurrentPage": "9"}},
		"isv.INVALID_PARAMETERS":    {{"SendDate": "2026-01-02"}, {"PageSize": "51"}, {"PageSize": ""}, {"CurrentPage": "0"}, {"SendDate": "20251101"}},
		"isv.MOBILE_NUMBER_ILLEGAL": {{"PhoneNumber": ""}, {"PhoneNumber": "+12025550101"}},
	} {
		for _, change := range changes {
			if got := query(change); got != code {
				t.Errorf("%v: %s, want %s", change, got, code)
			}
		}
	}
	if _, code := d.post(true, d.params(), func(p map[string]string) { p["Action"] = "QuerySendDetails" }); code != "SignatureDoesNotMatch" {
		t.Errorf("an action that was not signed: %s", code)
	}
}
