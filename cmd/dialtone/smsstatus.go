package main

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/server"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// smsReport is what `sms status` prints.
type smsReport struct {
	Since     time.Time           `json:"since"`
	Day       dayReport           `json:"day"`
	Stopped   int64               `json:"stopped_numbers"`
	Currency  string              `json:"currency,omitempty"`
	Providers []providerReport    `json:"providers"`
	Routes    map[string][]string `json:"routes"`
	Sends     []sendsReport       `json:"sends"`
}

type dayReport struct {
	Used  int64 `json:"used"`
	Limit int   `json:"limit"`
}

type providerReport struct {
	sms.ProviderState
	Type       string `json:"type"`
	ReceiptURL string `json:"receipt_url,omitempty"`
}

type sendsReport struct {
	sms.Sends
	Conversion *float64 `json:"conversion,omitempty"`
}

func (a *app) smsStatus() *cobra.Command {
	var (
		since    time.Duration
		receipts bool
	)
	cmd := &cobra.Command{
		Use: "status", Short: "Show providers, routes, what was sent, what arrived and what it cost",
		Long: `Show the state of providers, the routes, and what became of the messages of a time.

TYPED is the share of codes that people typed, among those whose time is over. A
code is forgotten a day after it expired, so over a longer time it is that of the last day.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since <= 0 {
				return fmt.Errorf("%w: --since is a time that has passed, such as 24h", errUsage)
			}
			c, err := a.load("")
			if err != nil {
				return err
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				status, err := sms.ReadStatus(ctx, core.DB, time.Now().Add(-since), c.SMS.Limits.FailuresTotal)
				if err != nil {
					return err
				}
				r := reportOf(c, status)
				if receipts {
					r.addReceipts(c, core)
				}
				return a.print(cmd, r, r.tables(receipts)...)
			})
		},
	}
	cmd.Flags().DurationVar(&since, "since", 24*time.Hour, "how far to look back")
	cmd.Flags().BoolVar(&receipts, "receipts", false, "show the addresses for delivery reports too, which are secret: the vendors' consoles ask for them")
	return cmd
}

// reportOf joins what is configured with what is known. A provider that no
// server has written about has had no trouble.
func reportOf(c config.Config, s sms.Status) *smsReport {
	r := &smsReport{
		Since: s.Since.UTC().Truncate(time.Second), Day: dayReport{s.Today, c.SMS.Limits.ServicePerDay}, Stopped: s.Stopped,
		Currency: currency(c), Routes: routes(c),
	}
	for _, name := range slices.Sorted(maps.Keys(c.SMS.Providers)) {
		p := providerReport{ProviderState: sms.ProviderState{Name: name, State: "closed"}, Type: c.SMS.Providers[name].Type}
		if i := slices.IndexFunc(s.Providers, func(known sms.ProviderState) bool { return known.Name == name }); i >= 0 {
			p.ProviderState = s.Providers[i]
		}
		r.Providers = append(r.Providers, p)
	}
	for _, x := range s.Sends {
		line := sendsReport{Sends: x}
		if share, ok := x.Conversion(); ok {
			line.Conversion = &share
		}
		r.Sends = append(r.Sends, line)
	}
	return r
}

// currency is the one that costs are in, "" where no prices are configured.
func currency(c config.Config) string {
	if len(c.SMS.Prices) == 0 {
		return ""
	}
	return c.SMS.Currency
}

// routes are the names of the providers by region, with their weights if they have any.
func routes(c config.Config) map[string][]string {
	list := make(map[string][]string, len(c.SMS.Routes))
	for region, route := range c.SMS.Routes {
		for i, name := range route.Providers {
			if route.Weights != nil {
				name += " (" + strconv.Itoa(route.Weights[i]) + ")"
			}
			list[region] = append(list[region], name)
		}
	}
	return list
}

// addReceipts gives addresses to the vendors that report deliveries.
func (r *smsReport) addReceipts(c config.Config, core *server.Core) {
	for i, p := range r.Providers {
		switch p.Type {
		case "aliyun", "tencent", "netease":
			r.Providers[i].ReceiptURL = c.Issuer + sms.ReceiptPath(core.Vault, p.Name)
		}
	}
}

// tables are the report for a person, at most a hundred columns wide but for receipts.
func (r *smsReport) tables(receipts bool) []table {
	summary := table{rows: [][]string{
		{"since", day(r.Since)},
		{"last 24 h", fmt.Sprintf("%d of %d messages (%s)", r.Day.Used, r.Day.Limit, percent(float64(r.Day.Used)/float64(max(r.Day.Limit, 1))))},
		{"numbers stopped", strconv.FormatInt(r.Stopped, 10)},
	}}
	providers := table{head: []string{"provider", "type", "state", "until", "changed", "reason"}}
	addresses := table{head: []string{"provider", "delivery reports go to"}}
	for _, p := range r.Providers {
		providers.rows = append(providers.rows, []string{p.Name, p.Type, p.State, day(p.Until), day(p.ChangedAt), p.Reason})
		if p.ReceiptURL != "" {
			addresses.rows = append(addresses.rows, []string{p.Name, p.ReceiptURL})
		}
	}
	ways := table{head: []string{"region", "route"}}
	for _, region := range slices.Sorted(maps.Keys(r.Routes)) {
		ways.rows = append(ways.rows, []string{region, strings.Join(r.Routes[region], ", ")})
	}
	list := []table{summary, providers, ways, r.sends()}
	if receipts {
		list = append(list, addresses)
	}
	return list
}

func (r *smsReport) sends() table {
	t := table{head: []string{"provider", "region", "sent", "accepted", "refused", "unknown", "arrived", "lost", "typed", strings.TrimSpace("cost " + r.Currency)}}
	for _, x := range r.Sends {
		typed := "-"
		if x.Conversion != nil {
			typed = percent(*x.Conversion)
		}
		row := []string{orDash(x.Provider), x.Region}
		for _, n := range []int64{x.Messages, x.Accepted, x.Rejected, x.Unknown, x.Delivered, x.Undelivered} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		t.rows = append(t.rows, append(row, typed, money(x.Cost)))
	}
	if len(t.rows) == 0 {
		return table{rows: [][]string{{"Nothing was sent in this time."}}}
	}
	return t
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

// money is an amount in millionths, to the cent.
func money(micros int64) string {
	if micros == 0 {
		return "-"
	}
	return new(big.Rat).SetFrac64(micros, 1_000_000).FloatString(2)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
