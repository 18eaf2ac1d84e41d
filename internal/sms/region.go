package sms

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// RegionInfo is one choice of a region list.
type RegionInfo struct {
	ISO         string // ISO 3166, "CN"
	CallingCode string // with its plus sign, "+86"
}

// Regions are the allowed ones in the operator's order; national spellings
// belong to the first unless the person chose another.
func (s *Service) Regions() []RegionInfo {
	infos := make([]RegionInfo, len(s.regions))
	for i, r := range s.regions {
		infos[i] = RegionInfo{ISO: r, CallingCode: "+" + strconv.Itoa(phonenumbers.GetCountryCodeForRegion(r))}
	}
	return infos
}

// checkRegions returns the regions in upper case, or says which one no
// numbering plan knows.
func checkRegions(regions []string) ([]string, error) {
	known := make([]string, 0, len(regions))
	for _, r := range regions {
		iso := strings.ToUpper(r)
		if phonenumbers.GetCountryCodeForRegion(iso) == 0 {
			return nil, fmt.Errorf("sms: region %q is not an ISO 3166 code with a numbering plan", r)
		}
		if !slices.Contains(known, iso) {
			known = append(known, iso)
		}
	}
	return known, nil
}

// callingCode splits the country calling code off the digits of an E.164
// number; "" if there is none. No calling code begins with another.
func callingCode(digits string) string {
	if strings.HasPrefix(digits, "86") {
		return "86"
	}
	for n := 1; n <= 3 && n < len(digits); n++ {
		code, err := strconv.Atoi(digits[:n])
		if err != nil {
			return ""
		}
		if len(phonenumbers.GetRegionCodesForCountryCode(code)) > 0 {
			return digits[:n]
		}
	}
	return ""
}

// offered reports whether any of the regions uses the calling code.
func offered(code string, regions []string) bool {
	n, err := strconv.Atoi(code)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(regions, func(r string) bool {
		return phonenumbers.GetCountryCodeForRegion(r) == n
	})
}
