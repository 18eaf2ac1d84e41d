package sms

import (
	"encoding/base64"

	"github.com/dialtone-id/dialtone/internal/signing"
)

// ReceiptPath is where a provider posts its delivery reports. The last segment
// is secret: it stands for the signature that most vendors do not make.
func ReceiptPath(v *signing.Vault, provider string) string {
	mac := v.MAC("sms-receipt", []byte(provider))
	return "/v1/sms/receipts/" + provider + "/" + base64.RawURLEncoding.EncodeToString(mac)
}
