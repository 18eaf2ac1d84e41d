package sms

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/dialtone-id/dialtone/internal/db"
)

// startTime bounds what New waits for the database.
const startTime = 10 * time.Second

// refuseUsedTests refuses a test number that texts were sent to. Whoever knows
// its fixed code could sign in as the person who has it. Test numbers never get
// rows in the ledger or among the numbers, so one row is enough.
func (s *Service) refuseUsedTests() error {
	if len(s.tests) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	byIndex := make(map[string]Number, len(s.tests))
	args := make([]any, 0, len(s.tests))
	places := make([]string, 0, len(s.tests))
	for n := range s.tests {
		index := n.Index(s.vault)
		byIndex[string(index)] = n
		args = append(args, index)
		places = append(places, "$"+strconv.Itoa(len(args)))
	}
	in := strings.Join(places, ", ")
	var used []byte
	err := s.db.QueryRow(ctx, `
		SELECT lookup FROM sms_ledger WHERE lookup IN (`+in+`)
		UNION ALL SELECT lookup FROM sms_numbers WHERE lookup IN (`+in+`) LIMIT 1`, args...).Scan(&used)
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sms: look for real uses of test numbers: %w", err)
	}
	return fmt.Errorf("sms: test number %v was sent real texts, so somebody may have an account with it: "+
		"take it out of sms.test_numbers and use a number that nobody has", byIndex[string(used)])
}

// IsTest reports whether n is a configured test number.
func (s *Service) IsTest(n Number) bool {
	_, ok := s.tests[n]
	return ok
}

// testNumber finds the test number that a spelling means, whatever the allowed
// regions are; a national spelling belongs to region.
func (s *Service) testNumber(in spelling, region string) (Number, bool) {
	if len(s.tests) == 0 {
		return Number{}, false
	}
	e164 := "+" + in.digits
	if !in.international {
		national := in.digits
		if region == "CN" {
			national = chineseNational(national)
		}
		e164 = "+" + strconv.Itoa(phonenumbers.GetCountryCodeForRegion(region)) + national
	}
	if !shapedE164(e164) {
		return Number{}, false
	}
	n := newNumber(e164)
	return n, s.IsTest(n)
}
