package sms

import "strings"

// Meaning is what operators are told about a provider's code: the entry of its
// vendor's table, by the type that the configuration gives the provider. It is
// "" for codes that are in no table.
func Meaning(vendor, code string) string {
	var table []VendorCode
	switch vendor {
	case "aliyun":
		table = AliyunCodes()
	case "tencent":
		table = TencentCodes()
	case "netease":
		table = NetEaseCodes()
	case "yuntongxun":
		table = YuntongxunCodes()
	}
	means, best := "", -1
	for _, entry := range append(table, OwnCodes()...) {
		if n := entry.fits(code); n > best {
			means, best = entry.Means, n
		}
	}
	return means
}

// fits says how closely an entry names a code: -1 if it does not, and never by "*",
// since codes of our own are in the same place.
func (e VendorCode) fits(code string) int {
	first, last, ranged := strings.Cut(e.Code, "-")
	family, isFamily := strings.CutSuffix(e.Code, "*")
	switch {
	case e.Code == code, ranged && len(code) == len(first) && first <= code && code <= last:
		return len(code) + 1
	case isFamily && family != "" && strings.HasPrefix(code, family):
		return len(family)
	}
	return -1
}

// OwnCodes are the codes that stand where a provider gave none of its own.
func OwnCodes() []VendorCode {
	return []VendorCode{
		{"dns", Failover, "the provider's name could not be resolved"},
		{"dial", Failover, "no connection to the provider"},
		{"certificate", Failover, "the provider's certificate could not be verified"},
		{"timeout", Ambiguous, "the provider did not answer in time; class F if nothing had been sent to it yet"},
		{"connection", Ambiguous, "the connection ended before the answer; class F if nothing had been sent yet"},
		{"canceled", Ambiguous, "the server stopped before the answer; class F if nothing had been sent yet"},
		{"reply", Ambiguous, "the answer is none of the provider's: something else answers at its address"},
		{"oversized", Ambiguous, "the answer is far too long: something else answers at the provider's address"},
		{"http_*", Ambiguous, "a status without the provider's own error: 5xx is class A, 429 and 408 class F, others class C"},
		{"write", Ambiguous, "the console could not be written to"},
		{"panic", Ambiguous, "an error in this program: please report it"},
		{"other", Failover, "a code that is not kept, since it might repeat a number; see the provider's own console"},
		{"closing", Failover, "the server was stopping, or no time was left to ask another provider"},
		{"international", Failover, "no template for numbers outside mainland China is configured for this provider, or it could take this one for a number inside"},
		{"no_template", Failover, "no template for this purpose is configured for this provider"},
		{"number", BadNumber, "the number cannot be written in the provider's form"},
		{"code", Misconfigured, "the code has a form that the provider does not take"},
		{"message_id", Misconfigured, "the id of the message has a form that the provider does not take"},
		{"sdk", Misconfigured, "no request can be made of the configuration: look at endpoint and region"},
		{"endpoint", Misconfigured, "endpoint is not an address"},
		{"url", Misconfigured, "url is not an address"},
		{"encode", Misconfigured, "no request can be made of the configuration"},
	}
}
