package sms

import (
	"slices"
	"strings"
)

// Unreachable is the class of receipts, and of nothing else, that say the phone
// could not be reached: it is off, out of range or out of service. Neither the
// number nor the provider is at fault.
const Unreachable Class = "O"

// carrierCodes are the words that carriers use through every vendor: the message
// states of SMPP 3.4 (section 5.2.28), and some of China's gateways (unconfirmed).
func carrierCodes() []VendorCode {
	const (
		off    = "the phone is off, out of range or out of service"
		gone   = "the number is not in use (unconfirmed)"
		listed = "the number is on a list of the carrier or the vendor (unconfirmed)"
	)
	return []VendorCode{
		{"DELIVRD", "", "delivered"},
		{"ACCEPTD", "", "on its way"},
		{"ENROUTE", "", "on its way"},
		{"UNDELIV", Unreachable, off},
		{"EXPIRED", Unreachable, "the phone could not be reached for too long"},
		{"DELETED", Unreachable, "the phone did not take the message"},
		{"REJECTD", Misconfigured, "the carrier refused the text: its signature or template is not filed, or a word is not allowed"},
		{"UNKNOWN", Ambiguous, "the carrier does not say why"},
		{"MBBLACK", Blocked, listed},
		{"DBBLACK", Blocked, listed},
		{"MK:0001", BadNumber, gone},
		{"MK:0005", Unreachable, "the number is out of service (unconfirmed)"},
		{"MK:0013", Unreachable, "the number is out of service (unconfirmed)"},
		{"MK:0010", Unreachable, off + " (unconfirmed)"},
		{"MK:0023", Unreachable, off + " (unconfirmed)"},
		{"*", Ambiguous, "not documented: why it was not delivered is not known"},
	}
}

// AliyunReceiptCodes is what the codes of Aliyun's delivery reports mean.
func AliyunReceiptCodes() []VendorCode {
	const text = "the text or a variable has what is not allowed"
	return append([]VendorCode{
		{"DELIVERED", "", "delivered"},
		{"REQUEST_SUCCESS", "", "on its way"},
		{"MOBILE_NOT_ON_SERVICE", Unreachable, "the number is out of service"},
		{"MOBILE_ACCOUNT_ABNORMAL", Unreachable, "the number's account is in arrears or the number was ported"},
		{"MOBLLE_TERMINAL_ERROR", Unreachable, "the phone is off or cannot take messages"}, // the vendor's spelling
		{"MOBILE_TERMINAL_ERROR", Unreachable, "the phone is off or cannot take messages"},
		{"INVALID_NUMBER", BadNumber, "the number is not in use"},
		{"MOBILE_SEND_LIMIT", NumberLimited, "too many messages to this number"},
		{"MOBILE_IN_BLACK", Blocked, "the number is blacklisted"},
		{"USER_REJECT", Blocked, "the number has unsubscribed"},
		{"IS_CLOSE", Failover, "the vendor has closed the channel"},
		{"NO_ROUTE", Failover, "the vendor has no channel for this number"},
		{"SP_UNKNOWN_ERROR", Failover, "error of the carrier"},
		{"SP_NOT_BY_INTER_SMS", Failover, "the carrier takes no international messages"},
		{"CONTENT_KEYWORD", Misconfigured, text},
		{"CONTENT_ERROR", Misconfigured, text},
		{"PARAMS_ILLEGAL", Misconfigured, text},
	}, carrierCodes()...)
}

// TencentReceiptCodes is what the codes of Tencent Cloud's delivery reports mean.
// Numbers are those of the older interface.
func TencentReceiptCodes() []VendorCode {
	const (
		limit   = "too many messages to this number"
		balance = "the account has no messages left, or its service is stopped for arrears"
	)
	return append([]VendorCode{
		{"SUBFAIL", BadNumber, "the carrier refused the number"},
		{"COMFAIL", Failover, "the connection to the carrier failed"},
		{"WTNFAIL", Failover, "the carrier's network failed"},
		{"002", Unreachable, "the phone is off, out of range or out of service"},
		{"1001", Misconfigured, "the request's signature was refused"},
		{"1012", Misconfigured, "sign_name is not approved"},
		{"1013", NumberLimited, limit},
		{"1014", Misconfigured, "the template is not approved, or its variables are others than those configured"},
		{"1015", Blocked, "the number is blacklisted or has unsubscribed"},
		{"1016", BadNumber, "the number is malformed"},
		{"1022", Failover, "the application's own limit for a day is reached: raise it in the console"},
		{"1023-1026", NumberLimited, limit},
		{"1031", Failover, balance},
		{"1033", Failover, balance},
		{"1038", Misconfigured, "variables of verification templates are 6 digits at most"},
		{"60008", Ambiguous, "the vendor took too long"},
	}, carrierCodes()...)
}

// NetEaseReceiptCodes is what the results in NetEase's delivery reports mean:
// the carriers' own words.
func NetEaseReceiptCodes() []VendorCode { return carrierCodes() }

// onItsWay reports whether a code says that there is no verdict yet.
func onItsWay(code string) bool {
	return slices.Contains([]string{"REQUEST_SUCCESS", "ACCEPTD", "ENROUTE"}, code)
}

// undeliveredBecause is class and code of an undelivered message, as the ledger
// keeps them.
func undeliveredBecause(classes map[string]Class, code string) string {
	class, listed := classes[code]
	if class == "" { // not listed, or a word of success beside a failure
		class = classes["*"]
	}
	if !listed {
		code = carrierWord(code)
	}
	return string(class) + " " + code
}

// carrierWord keeps a code that is in no table if it looks like one. It goes into
// the ledger, so it has too few digits to be a code of ours or a number.
func carrierWord(code string) string {
	const longest = 4
	digits := 0
	for _, r := range code {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	if digits > longest || safeCode(strings.ReplaceAll(code, ":", ".")) == "other" {
		return "other"
	}
	return code
}
