package fake

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the vendor's choice
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	aliyunTime   = "2006-01-02T15:04:05Z"
	aliyunWindow = 15 * time.Minute
	acs3         = "ACS3-HMAC-SHA256"
)

// verifyV1 checks the signature of version 1.0 (HMAC-SHA1), which covers all
// parameters wherever they are.
func (a *Aliyun) verifyV1(q *aliyunCall) *reply {
	for _, name := range []string{"AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp", "Action", "Version"} {
		if q.params[name] == "" {
			return a.refuse(q, http.StatusBadRequest, "Missing"+name, name+" is mandatory for this action.")
		}
	}
	switch {
	case q.params["SignatureMethod"] != "HMAC-SHA1" || q.params["SignatureVersion"] != "1.0":
		return a.refuse(q, http.StatusBadRequest, "InvalidParameter.SignatureMethod", "The signature method is not supported.")
	case !strings.EqualFold(q.params["Format"], "JSON"):
		return a.refuse(q, http.StatusBadRequest, "InvalidParameter.Format", "The fake answers JSON alone.")
	}
	q.action, q.version = q.params["Action"], q.params["Version"]
	secret, refused := a.fit(q, q.params["Timestamp"], q.params["AccessKeyId"])
	if refused != nil {
		return refused
	}
	text := aliyunStringToSign(q.r.Method, q.params)
	if subtle.ConstantTimeCompare([]byte(aliyunSignature(text, secret)), []byte(q.params["Signature"])) != 1 {
		return a.refuse(q, http.StatusBadRequest, "SignatureDoesNotMatch",
			"Specified signature is not matched with our calculation. server string to sign is:"+text)
	}
	return a.once(q, q.params["SignatureNonce"])
}

// aliyunStringToSign is all parameters but the signature.
func aliyunStringToSign(method string, params map[string]string) string {
	return method + "&%2F&" + percent(aliyunCanonical(params))
}

// aliyunSignature is what version 1.0 makes of it.
func aliyunSignature(text, secret string) string {
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// aliyunCanonical joins the parameters in the order of their names.
func aliyunCanonical(params map[string]string) string {
	var parts []string
	for _, name := range sortedKeys(params) {
		if name != "Signature" {
			parts = append(parts, percent(name)+"="+percent(params[name]))
		}
	}
	return strings.Join(parts, "&")
}

// percent encodes all but the unreserved characters (RFC 3986 section 2.3).
func percent(s string) string {
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
}

// verifyACS3 checks the successor, whose signature covers the query, the body
// and the headers that it lists.
func (a *Aliyun) verifyACS3(q *aliyunCall) *reply {
	h := q.r.Header
	auth := authorization(h.Get("Authorization"), acs3)
	signed := strings.Split(auth["SignedHeaders"], ";")
	for _, must := range []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"} {
		if must != "host" && h.Get(must) == "" || !slices.Contains(signed, must) {
			return a.refuse(q, http.StatusBadRequest, "IncompleteSignature", "The request must have and sign "+must+".")
		}
	}
	sum := sha256.Sum256(q.body)
	if h.Get("x-acs-content-sha256") != hex.EncodeToString(sum[:]) || !slices.IsSorted(signed) {
		return a.refuse(q, http.StatusBadRequest, "IncompleteSignature", "The hash of the body or the list of headers is wrong.")
	}
	q.action, q.version = h.Get("x-acs-action"), h.Get("x-acs-version")
	secret, refused := a.fit(q, h.Get("x-acs-date"), auth["Credential"])
	if refused != nil {
		return refused
	}
	query := map[string]string{}
	for name, given := range q.r.URL.Query() {
		query[name] = given[0]
	}
	canonical := canonicalRequest(q.r, aliyunCanonical(query), signed, h.Get("x-acs-content-sha256"))
	if subtle.ConstantTimeCompare([]byte(acs3Signature(canonical, secret)), []byte(auth["Signature"])) != 1 {
		return a.refuse(q, http.StatusBadRequest, "SignatureDoesNotMatch",
			"Specified signature is not matched with our calculation. server string to sign is:"+canonical)
	}
	return a.once(q, h.Get("x-acs-signature-nonce"))
}

// acs3Signature is what ACS3-HMAC-SHA256 makes of a canonical request.
func acs3Signature(canonical, secret string) string {
	return hex.EncodeToString(hmac256([]byte(secret), acs3+"\n"+hex256(canonical)))
}

// canonicalRequest is the form that ACS3 and TC3 share.
func canonicalRequest(r *http.Request, query string, signed []string, bodySum string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n/\n" + query + "\n")
	for _, name := range signed {
		value := r.Header.Get(name)
		if name == "host" { // which Go keeps apart
			value = r.Host
		}
		if name == "x-tc-action" {
			value = strings.ToLower(value)
		}
		b.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + bodySum)
	return b.String()
}

// authorization reads the parameters behind a scheme, separated by commas.
func authorization(header, scheme string) map[string]string {
	params := map[string]string{}
	rest, ok := strings.CutPrefix(header, scheme+" ")
	if !ok {
		return params
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		params[name] = value
	}
	return params
}

// fit checks the clock and finds the secret.
func (a *Aliyun) fit(q *aliyunCall, stamp, id string) (secret string, refused *reply) {
	at, err := time.Parse(aliyunTime, stamp)
	if err != nil {
		return "", a.refuse(q, http.StatusBadRequest, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
	}
	if a.now().Sub(at).Abs() > aliyunWindow {
		return "", a.refuse(q, http.StatusBadRequest, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
	}
	secret, ok := a.keys[id]
	if !ok {
		return "", a.refuse(q, http.StatusNotFound, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
	}
	return secret, nil
}

// once refuses a nonce that has been used.
func (a *Aliyun) once(q *aliyunCall, nonce string) *reply {
	if !a.fresh(nonce, aliyunWindow) {
		return a.refuse(q, http.StatusBadRequest, "SignatureNonceUsed", "Specified signature nonce was used already.")
	}
	return nil
}

func (a *Aliyun) refuse(q *aliyunCall, status int, code, message string) *reply {
	answer := aliyunRefuse(q, status, code, message)
	return &answer
}

func hex256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func hmac256(key []byte, s string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s))
	return mac.Sum(nil)
}
