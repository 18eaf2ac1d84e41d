package config

import (
	"maps"
	"regexp"
	"slices"
)

// money checks the prices and the budget that is counted with them.
func (k *checker) money(s *SMS) {
	if !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(s.Currency) {
		k.add("sms.currency", "is not a currency", "use an ISO 4217 code such as CNY")
	}
	for _, provider := range slices.Sorted(maps.Keys(s.Prices)) {
		path := "sms.prices." + shown(provider)
		if _, ok := s.Providers[provider]; !ok {
			k.add(path, "names a provider that does not exist", suggest(provider, slices.Collect(maps.Keys(s.Providers))))
		}
		for _, region := range slices.Sorted(maps.Keys(s.Prices[provider])) {
			here := path + "." + shown(region)
			if region != anyRegion && !isRegion(region) {
				k.add(here, "is not a region", "use ISO 3166 codes of two capital letters, or * for the rest")
			}
			k.amount(here, s.Prices[provider][region])
		}
	}
	if s.Limits.BudgetPerDay == "" {
		return
	}
	k.amount("sms.limits.budget_per_day", s.Limits.BudgetPerDay)
	if !regexp.MustCompile(`[1-9]`).MatchString(string(s.Limits.BudgetPerDay)) {
		k.add("sms.limits.budget_per_day", "allows nothing", "leave it empty for no such budget")
	}
	for _, region := range s.Regions {
		route, own := s.Routes[region]
		if !own {
			route = s.Routes[anyRegion]
		}
		for _, provider := range route.Providers {
			prices := s.Prices[provider]
			if prices[region] == "" && prices[anyRegion] == "" {
				k.add("sms.prices."+shown(provider), "has no price for region "+shown(region)+", so sms.limits.budget_per_day could not hold", "add one, or one for *")
			}
		}
	}
}

func (k *checker) amount(path string, a Amount) {
	if !regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,6})?$`).MatchString(string(a)) {
		k.add(path, "is not an amount of money", "write it like 0.045, with no more than six places")
	}
}
