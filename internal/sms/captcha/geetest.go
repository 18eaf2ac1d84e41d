package captcha

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the vendor's choice
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

// sdkName is how we introduce ourselves to the vendor.
const sdkName = "dialtone-go:1"

// newGeetest makes the vendor of the configured version. origins are those that
// its widget loads from.
func newGeetest(c Config) (v vendor, origins []string, err error) {
	script, api, path := "https://static.geetest.com", "https://api.geetest.com", "/static/js/gt.0.5.0.js"
	if c.Type == kindGeetestV4 {
		api, path = "https://gcaptcha4.geetest.com", "/v4/gt4.js"
	}
	s, err := newService(cmp.Or(c.Endpoint, api))
	if err != nil {
		return nil, nil, err
	}
	origins = []string{"https://*.geetest.com", "https://*.geevisit.com", "https://*.gsensebot.com"}
	if c.Endpoint != "" {
		script, origins = s.base, []string{s.base}
	}
	// In closures no print shows the key.
	key := c.Key
	if c.Type == kindGeetestV3 {
		return &geetestV3{
			service: s, id: c.ID, script: script + path,
			digest: func(challenge string) string { return md5Hex(challenge + key) },
			expect: func(challenge string) string { return md5Hex(key + "geetest" + challenge) },
		}, origins, nil
	}
	return &geetestV4{
		service: s, id: c.ID, script: script + path,
		sign: func(lot string) string { return geetestSign(key, lot) },
	}, origins, nil
}

// geetestV3 is Geetest's behaviour verification, version 3. A puzzle is
// registered first; the widget's proof is checked by us and by the vendor.
type geetestV3 struct {
	service
	id, script string
	digest     func(challenge string) string // what the widget is given instead of the registered challenge
	expect     func(challenge string) string // the geetest_validate of a proof
}

func (g *geetestV3) puzzle(ctx context.Context, user string) (map[string]any, string, error) {
	var reply struct {
		Challenge string `json:"challenge"` // "0" or none if the id is unknown or the service is down
	}
	err := g.call(ctx, "/register.php", url.Values{
		"gt": {g.id}, "json_format": {"1"}, "digestmod": {"md5"}, "new_captcha": {"1"}, "sdk": {sdkName},
		"user_id": {user}, "client_type": {"web"}, "ip_address": {""},
	}, nil, &reply)
	if err != nil {
		return nil, "", err
	}
	if !isHex32(reply.Challenge) {
		return nil, "", errReply
	}
	challenge := g.digest(reply.Challenge)
	return map[string]any{"gt": g.id, "challenge": challenge, "new_captcha": true, "success": 1, "script": g.script}, challenge, nil
}

// read checks the proof as the vendor computes it. In the widget's offline mode
// it would be the MD5 of the challenge, which anybody can compute.
func (g *geetestV3) read(proof []byte, subject string) (url.Values, string, bool) {
	var p struct {
		Challenge string `json:"geetest_challenge"` // ours, with up to two characters of the widget's
		Validate  string `json:"geetest_validate"`
		Seccode   string `json:"geetest_seccode"`
	}
	if json.Unmarshal(proof, &p) != nil || !isHex32(subject) {
		return nil, "", false
	}
	extra, ours := strings.CutPrefix(p.Challenge, subject)
	if !ours || len(extra) > 2 || strings.Trim(extra, "0123456789abcdefghijklmnopqrstuvwxyz") != "" ||
		subtle.ConstantTimeCompare([]byte(p.Validate), []byte(g.expect(p.Challenge))) != 1 ||
		p.Seccode != p.Validate+"|jordan" {
		return nil, "", false
	}
	return url.Values{"seccode": {p.Seccode}, "challenge": {p.Challenge}}, subject, true
}

func (g *geetestV3) validate(ctx context.Context, form url.Values, user string) (bool, error) {
	form.Set("captchaid", g.id)
	form.Set("json_format", "1")
	form.Set("sdk", sdkName)
	form.Set("user_id", user)
	form.Set("client_type", "web")
	form.Set("ip_address", "")
	var reply struct {
		Seccode string `json:"seccode"` // MD5 of the one that was sent, or "false"
	}
	if err := g.call(ctx, "/validate.php", nil, form, &reply); err != nil {
		return false, err
	}
	if reply.Seccode == "" {
		return false, errReply
	}
	return subtle.ConstantTimeCompare([]byte(reply.Seccode), []byte(md5Hex(form.Get("seccode")))) == 1, nil
}

// geetestV4 is Geetest's adaptive captcha, version 4. The vendor alone judges.
// Nothing is registered, so a solved lot is bound to nobody until it is used;
// what is bound is the puzzle it answers.
type geetestV4 struct {
	service
	id, script string
	sign       func(lot string) string
}

func (g *geetestV4) puzzle(context.Context, string) (map[string]any, string, error) {
	return map[string]any{"captchaId": g.id, "script": g.script}, "", nil
}

func (g *geetestV4) read(proof []byte, _ string) (url.Values, string, bool) {
	var p struct {
		Lot       string `json:"lot_number"`
		Output    string `json:"captcha_output"`
		PassToken string `json:"pass_token"`
		GenTime   string `json:"gen_time"`
	}
	if json.Unmarshal(proof, &p) != nil || !isHex32(p.Lot) || !isToken(p.Output) || !isToken(p.PassToken) || !isToken(p.GenTime) {
		return nil, "", false
	}
	return url.Values{
		"lot_number": {p.Lot}, "captcha_output": {p.Output}, "pass_token": {p.PassToken}, "gen_time": {p.GenTime},
		"sign_token": {g.sign(p.Lot)},
	}, p.Lot, true
}

func (g *geetestV4) validate(ctx context.Context, form url.Values, _ string) (bool, error) {
	var reply struct {
		Status string `json:"status"` // "error" if the request is wrong, which a forger can bring about
		Result string `json:"result"`
	}
	if err := g.call(ctx, "/validate", url.Values{"captcha_id": {g.id}}, form, &reply); err != nil {
		return false, err
	}
	switch {
	case reply.Status == "success" && reply.Result == "success":
		return true, nil
	case reply.Status == "success" && reply.Result == "fail", reply.Status == "error":
		return false, nil
	}
	return false, errReply
}

func geetestSign(key, lot string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(lot))
	return hex.EncodeToString(mac.Sum(nil))
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // the vendor's choice
	return hex.EncodeToString(sum[:])
}

func isHex32(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// isToken keeps from the vendor what no widget of its makes and what a filter
// before its service might refuse: that would look like an outage.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.") == ""
}
