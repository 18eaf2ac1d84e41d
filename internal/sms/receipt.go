package sms

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// Report is what a vendor says of a message that it took: a delivery receipt.
// Printed it shows no number.
type Report struct {
	MessageID string   // Message.ID, "" if the vendor does not bring it back
	Ref       string   // the vendor's own id of the message
	Numbers   []Number // every reading of the number as the vendor writes it; none if it is masked

	Status string    // StatusDelivered, StatusUndelivered, or StatusSent while there is no verdict
	Reason string    // class and code of StatusUndelivered
	At     time.Time // of the verdict; zero if the vendor does not tell
}

// Receiver is a Provider whose vendor pushes delivery reports.
type Receiver interface {
	Provider
	// Receipts reads the reports in a request, and says what answer has the
	// vendor push them no more. Errors are *fault.Error and repeat nothing.
	Receipts(header http.Header, body []byte) (reports []Report, answer string, err error)
}

// Limits of one push.
const (
	maxReceipts     = 256 << 10 // bytes
	maxReceiptCount = 1000
)

// labelReceipts is the vault's label for path secrets.
const labelReceipts = "sms receipts"

var (
	errNoReceipts        = fault.New(http.StatusNotFound, "not_found", "there is nothing at this address")
	errReceiptsForged    = fault.New(http.StatusForbidden, "receipts_signature_invalid", "the signature of the delivery reports is not right")
	errReceiptsMalformed = fault.New(http.StatusBadRequest, "receipts_malformed", "the delivery reports are not what this provider sends")
	errReceiptsTooLarge  = fault.New(http.StatusRequestEntityTooLarge, "receipts_too_large", "no more than 1000 delivery reports and 256 KiB at once")
)

// malformed names the entry that is wrong, counted from 1, and the member.
func malformed(entry int, member string) error {
	return errReceiptsMalformed.Describe("delivery report %d has no usable %s", entry+1, member)
}

// ReceiptPath is the path below the issuer at which the vendor of a provider
// (its name in the configuration) pushes delivery reports. Its last segment is a
// secret of 256 bits, for most vendors the only proof there is: it belongs in
// the vendor's console and nowhere else. It changes with the current master
// secret; the path of an older master is good for as long as that is configured.
func ReceiptPath(v *signing.Vault, provider string) string {
	return "/v1/sms/receipts/" + provider + "/" + base64.RawURLEncoding.EncodeToString(v.MAC(labelReceipts, []byte(provider)))
}

// ReceiptPath is the function of that name for a provider of this Service that
// takes delivery reports; false for any other.
func (s *Service) ReceiptPath(provider string) (string, bool) {
	if _, ok := s.named(provider).(Receiver); !ok {
		return "", false
	}
	return ReceiptPath(s.vault, provider), true
}

// named finds a provider that some route has, nil if there is none.
func (s *Service) named(provider string) Provider {
	for _, route := range s.config.Routes {
		for _, p := range route.Providers {
			if p.Name() == provider {
				return p
			}
		}
	}
	return nil
}

// Receive takes a push of delivery reports that came in at ReceiptPath with this
// provider and secret, and returns the body to answer with. It may be called
// with the same reports any number of times, in any order and on any replica.
//
// Reports are statistics, and tell a page what became of its message. Whoever
// knows a path secret can spoil those and nothing else: no report signs anybody
// in, frees a number, or gives a message back to its budget.
//
// Faults: not_found for a wrong secret and for a provider without reports alike,
// receipts_malformed, receipts_signature_invalid, receipts_too_large. Any other
// error is ours, and the vendor may push again.
func (s *Service) Receive(ctx context.Context, provider, secret string, header http.Header, body io.Reader) (answer string, err error) {
	mac, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	known := s.vault.VerifyMAC(labelReceipts, mac, []byte(provider)) && err == nil
	receiver, ok := s.named(provider).(Receiver)
	if !known || !ok {
		return "", errNoReceipts
	}
	content, err := io.ReadAll(io.LimitReader(body, maxReceipts+1))
	var reports []Report
	switch {
	case err != nil: // the vendor hung up
		err = errReceiptsMalformed.Describe("the request ended early")
	case len(content) > maxReceipts:
		err = errReceiptsTooLarge
	default:
		reports, answer, err = receiver.Receipts(header, content)
	}
	if err != nil {
		s.config.Observer.ReceiptReceived(ReceiptReceived{Provider: provider, Status: receiptRefused, Source: sourcePush})
		return "", err
	}
	if err := s.apply(ctx, provider, sourcePush, reports); err != nil {
		return "", fmt.Errorf("keep delivery reports of %s: %w", provider, err)
	}
	return answer, nil
}

// readReceipts decodes JSON into into, to the end.
func readReceipts(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if d.Decode(into) != nil {
		return errReceiptsMalformed
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // as the decoder returns it
		return errReceiptsMalformed
	}
	return nil
}

// receiptArray decodes the array that most vendors push.
func receiptArray[T any](body []byte) ([]T, error) {
	var entries []T
	if err := readReceipts(body, &entries); err != nil {
		return nil, err
	}
	switch {
	case entries == nil: // null
		return nil, errReceiptsMalformed
	case len(entries) > maxReceiptCount:
		return nil, errReceiptsTooLarge
	}
	return entries, nil
}

// ourID is a message id that a vendor brings back, "" for what is none of ours.
func ourID(id string) string {
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return ""
	}
	return id
}

// reportedRef is a vendor's id as far as a row may have it.
func reportedRef(id string) string {
	const longest = 128
	if len(id) > longest || !printable(id) {
		return ""
	}
	return id
}

// beijing is the time zone of the vendors.
func beijing() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// reportedAt reads a time in one of the layouts; a vendor's own zone is Beijing's.
// One that cannot be read is none: it only orders verdicts.
func reportedAt(text string, layouts ...string) time.Time {
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, beijing()); err == nil {
			return t
		}
	}
	return time.Time{}
}

// reportedNumbers reads a number as vendors write it. Eleven digits may be a
// mobile of mainland China or begin with a calling code, as numbers of North
// America do: both are returned. ok is false for what is no number at all; one
// that is masked is none.
func reportedNumbers(text string) (numbers []Number, ok bool) {
	const longest = 24
	digits := strings.NewReplacer("-", "", " ", "").Replace(text)
	if len(text) > longest || strings.Trim(digits, "+*0123456789") != "" || digits == "" {
		return nil, false
	}
	if strings.Contains(digits, "*") {
		return nil, true
	}
	international, plus := strings.CutPrefix(digits, "+")
	if !plus {
		international, plus = strings.CutPrefix(digits, "00")
	}
	if !plus && len(digits) == 11 {
		if n, err := FromE164("+86" + digits); err == nil {
			if _, mobile := mainlandMobile(n); mobile {
				numbers = append(numbers, n)
			}
		}
	}
	if n, err := FromE164("+" + international); err == nil {
		numbers = append(numbers, n)
	}
	return numbers, len(numbers) > 0
}
