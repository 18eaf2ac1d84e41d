package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// From the words of the configuration to the words of the packages, once.

func staticClients(c config.Config) []client.Static {
	list := make([]client.Static, len(c.Clients))
	for i, in := range c.Clients {
		list[i] = client.Static{Secret: in.ClientSecret.Reveal(), Client: client.Client{
			ID: in.ClientID, Name: in.ClientName, ApplicationType: in.ApplicationType,
			TokenEndpointAuthMethod: in.TokenEndpointAuthMethod, GrantTypes: in.GrantTypes, ResponseTypes: in.ResponseTypes,
			RedirectURIs: in.RedirectURIs, PostLogoutRedirectURIs: in.PostLogoutRedirectURIs, Scope: in.Scope,
			ClientURI: in.ClientURI, LogoURI: in.LogoURI, PolicyURI: in.PolicyURI, TOSURI: in.TOSURI, Contacts: in.Contacts,
			IDTokenSignedResponseAlg: in.IDTokenSignedResponseAlg, DefaultMaxAge: in.DefaultMaxAge, RequireAuthTime: in.RequireAuthTime,
			FirstParty: in.FirstParty, RequirePKCE: in.RequirePKCE, SkipAgreement: in.SkipAgreement,
			ResponseModes: in.ResponseModes, Disabled: in.Disabled,
		}}
	}
	return list
}

// smsConfig builds the providers and puts them on their routes.
func smsConfig(c config.Config, console io.Writer, log *slog.Logger) (sms.Config, error) {
	providers := make(map[string]sms.Provider, len(c.SMS.Providers))
	for name, p := range c.SMS.Providers {
		built, err := provider(name, p, console)
		if err != nil {
			return sms.Config{}, fmt.Errorf("sms.providers.%s: %w", name, err)
		}
		providers[name] = built
	}
	routes := make(map[string][]sms.Provider, len(c.SMS.Routes))
	for region, names := range c.SMS.Routes {
		for _, name := range names {
			routes[region] = append(routes[region], providers[name])
		}
	}
	prices, budget, err := money(c.SMS)
	if err != nil {
		return sms.Config{}, err
	}
	l := c.SMS.Limits
	return sms.Config{
		Regions: c.SMS.Regions, TestNumbers: c.SMS.TestCodes(), Routes: routes, Log: log,
		CodeTTL: l.CodeTTL, CodeMaxTTL: l.CodeMaxTTL, Cooldown: l.Cooldown, MaxTries: l.Tries,
		PerHour: l.PerHour, PerDay: l.PerDay, KnownReserve: l.KnownReserve,
		FailuresPerHour: l.FailuresPerHour, FailuresPerDay: l.FailuresPerDay, FailuresTotal: l.FailuresTotal,
		PerAddressNumbers: l.PerAddressNumbers10m, PerAddressHour: l.PerAddressHour, PerAddressDay: l.PerAddressDay,
		PerClientHour: l.PerClientHour, PerClientDay: l.PerClientDay,
		PerServiceSecond: l.ServicePerSecond, PerServiceDay: l.ServicePerDay,
		PerDeviceNumbers: l.PerDeviceNumbersDay, PerDeviceDay: l.PerDeviceDay, PerDialCodeDay: l.PerDialCodeDay,
		PerPrefix10m: l.PerPrefix10m, PerPrefixHour: l.PerPrefixHour, Consecutive: l.Consecutive, CheckedPrefixes: l.CheckedPrefixes,
		ConversionPercent: l.ConversionPercent, ConversionPercentWhole: l.ConversionWhole, ConversionPause: l.ConversionPause,
		NoHumanCheck: c.Captcha.Type == "none",
		Currency:     c.SMS.Currency, Prices: prices, BudgetPerDay: budget,
	}, nil
}

// money reads the prices and the day's budget, exactly.
func money(c config.SMS) (prices map[string]map[string]sms.Millionths, budget sms.Millionths, err error) {
	prices = make(map[string]map[string]sms.Millionths, len(c.Prices))
	for provider, regions := range c.Prices {
		prices[provider] = make(map[string]sms.Millionths, len(regions))
		for region, amount := range regions {
			if prices[provider][region], err = sms.ParseMillionths(string(amount)); err != nil {
				return nil, 0, fmt.Errorf("sms.prices.%s.%s: %w", provider, region, err)
			}
		}
	}
	if c.Limits.BudgetPerDay != "" {
		if budget, err = sms.ParseMillionths(string(c.Limits.BudgetPerDay)); err != nil {
			return nil, 0, fmt.Errorf("sms.limits.budget_per_day: %w", err)
		}
	}
	return prices, budget, nil
}

func provider(name string, p config.Provider, console io.Writer) (sms.Provider, error) {
	switch p.Type {
	case "console":
		return sms.NewConsole(name, console), nil
	case "webhook":
		return sms.NewWebhook(sms.WebhookConfig{Name: name, URL: p.URL, Secret: p.Secret.Reveal()})
	case "aliyun":
		return sms.NewAliyun(sms.AliyunConfig{
			Name: name, Endpoint: p.Endpoint, Region: p.Region, AccessKeyID: p.AccessKeyID, AccessKeySecret: p.AccessKeySecret.Reveal(),
			SignName: p.SignName, Templates: templates(p.TemplateCode, p.TemplateCodeInternational),
		})
	case "tencent":
		return sms.NewTencent(sms.TencentConfig{
			Name: name, Endpoint: p.Endpoint, Region: p.Region, SecretID: p.SecretID, SecretKey: p.SecretKey.Reveal(),
			SDKAppID: p.SDKAppID, SignName: p.SignName, Templates: templates(p.TemplateID, p.TemplateIDInternational),
		})
	case "netease":
		return sms.NewNetEase(sms.NetEaseConfig{
			Name: name, Endpoint: p.Endpoint, AppKey: p.AppKey, AppSecret: p.AppSecret.Reveal(), ParamStyle: p.ParamStyle,
			Templates: templates(p.TemplateID, p.TemplateIDInternational),
		})
	case "yuntongxun":
		return sms.NewYuntongxun(sms.YuntongxunConfig{
			Name: name, Endpoint: p.Endpoint, AccountSID: p.AccountSID, AuthToken: p.AuthToken.Reveal(), AppID: p.AppID,
			Templates: templates(p.TemplateID, ""),
		})
	}
	return nil, fmt.Errorf("type %q is unknown", p.Type)
}

// templates are one for the mainland and one for everywhere else, for all purposes.
func templates(mainland, international string) map[sms.TemplateUse]sms.VendorTemplate {
	t := map[sms.TemplateUse]sms.VendorTemplate{{}: {ID: mainland}}
	if international != "" {
		t[sms.TemplateUse{International: true}] = sms.VendorTemplate{ID: international}
	}
	return t
}

// openEphemeral keeps short-lived state beside the database: in a second file on
// SQLite, in an unlogged table on PostgreSQL. Redis goes in front if there is one.
func openEphemeral(ctx context.Context, c config.Config, d *db.DB, log *slog.Logger) (_ *ephemeral.Failover, closeHome func() error, err error) {
	closeHome = func() error { return nil }
	home := d
	if d.Engine() == db.SQLite {
		if home, err = db.Open(ctx, "sqlite:"+filepath.Join(c.DataDir, "ephemeral.db"), db.Relaxed); err != nil {
			return nil, closeHome, err
		}
		closeHome = home.Close
	}
	var redis *ephemeral.Redis
	if c.Redis != "" {
		if redis, err = ephemeral.OpenRedis(c.Redis, ephemeral.Options{}); err != nil {
			return nil, closeHome, err
		}
	}
	sql, err := ephemeral.OpenSQL(ctx, home)
	if err != nil {
		if redis != nil {
			err = errors.Join(err, redis.Close())
		}
		return nil, closeHome, err
	}
	return ephemeral.New(ctx, sql, redis, log), closeHome, nil
}
