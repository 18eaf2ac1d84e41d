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
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
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
			NameChinese: in.ClientNameChinese, NameEnglish: in.ClientNameEnglish, BrandColor: in.BrandColor, SupportContact: in.SupportContact,
			SecurityEventURI: in.SecurityEventURI,
		}}
	}
	return list
}

func captchaConfig(c config.Config, m *metrics, log *slog.Logger) captcha.Config {
	return captcha.Config{
		Type: c.Captcha.Type, ID: c.Captcha.ID, Key: c.Captcha.Key.Reveal(), Endpoint: c.Captcha.Endpoint,
		Observe: m.captchaDone, Log: log,
	}
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
	routes := make(map[string]sms.Route, len(c.SMS.Routes))
	for region, route := range c.SMS.Routes {
		r := sms.Route{Weights: route.Weights}
		for _, name := range route.Providers {
			r.Providers = append(r.Providers, providers[name])
		}
		routes[region] = r
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

// SMSProviders are the providers that a verb beside the server may ask: the one
// of a name, or without a name those of a region's route in its order.
func SMSProviders(c config.Config, region, name string, console io.Writer) ([]sms.Provider, error) {
	if p, ok := c.SMS.Providers[name]; ok {
		built, err := provider(name, p, console)
		if err != nil {
			return nil, fmt.Errorf("sms.providers.%s: %w", name, err)
		}
		return []sms.Provider{built}, nil
	}
	if name != "" {
		return nil, fmt.Errorf("sms.providers.%s: %w", name, db.ErrNotFound)
	}
	built, err := smsConfig(c, console, slog.Default())
	if err != nil {
		return nil, err
	}
	route, ok := built.Routes[region]
	if !ok {
		route = built.Routes["*"]
	}
	if len(route.Providers) == 0 {
		return nil, fmt.Errorf("no route for region %s: %w", region, db.ErrNotFound)
	}
	return route.Providers, nil
}

// SMSLimits are what an operator's verbs must keep to as the server does.
func SMSLimits(c config.Config) (sms.Config, error) {
	return smsConfig(c, io.Discard, slog.Default())
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
			SignName: p.SignName, SignNameAbroad: p.SignNameInternational, Templates: templates(p, p.TemplateCode, p.TemplateCodeInternational),
		})
	case "tencent":
		return sms.NewTencent(sms.TencentConfig{
			Name: name, Endpoint: p.Endpoint, Region: p.Region, SecretID: p.SecretID, SecretKey: p.SecretKey.Reveal(),
			SDKAppID: p.SDKAppID, SignName: p.SignName, SignNameAbroad: p.SignNameInternational,
			Templates: templates(p, p.TemplateID, p.TemplateIDInternational),
		})
	case "netease":
		return sms.NewNetEase(sms.NetEaseConfig{
			Name: name, Endpoint: p.Endpoint, AppKey: p.AppKey, AppSecret: p.AppSecret.Reveal(), ParamStyle: p.ParamStyle,
			Templates: templates(p, p.TemplateID, p.TemplateIDInternational),
		})
	case "yuntongxun":
		return sms.NewYuntongxun(sms.YuntongxunConfig{
			Name: name, Endpoint: p.Endpoint, AccountSID: p.AccountSID, AuthToken: p.AuthToken.Reveal(), AppID: p.AppID,
			Templates: templates(p, p.TemplateID, ""),
		})
	}
	return nil, fmt.Errorf("type %q is unknown", p.Type)
}

// templates are those for all purposes, of the given ids, and those for one. The
// parameters of the former serve the latter where these have none.
func templates(p config.Provider, mainland, international string) map[sms.TemplateUse]sms.VendorTemplate {
	all := map[sms.TemplateUse]sms.VendorTemplate{}
	add := func(purpose sms.Purpose, abroad bool, id, sign string, params ...config.Params) {
		if id == "" {
			return
		}
		t := sms.VendorTemplate{ID: id, Sign: sign}
		for _, given := range params {
			if len(given.Values) > 0 {
				t.Params = templateParams(given)
				break
			}
		}
		all[sms.TemplateUse{Purpose: purpose, International: abroad}] = t
	}
	add("", false, mainland, "", p.Params)
	add("", true, international, "", p.Params)
	for purpose, t := range p.Templates {
		add(sms.Purpose(purpose), false, t.ID, t.SignName, t.Params, p.Params)
		add(sms.Purpose(purpose), true, t.IDInternational, "", t.Params, p.Params)
	}
	return all
}

func templateParams(p config.Params) []sms.TemplateParam {
	params := make([]sms.TemplateParam, len(p.Values))
	for i, value := range p.Values {
		params[i].Value = value
		if p.Names != nil {
			params[i].Name = p.Names[i]
		}
	}
	return params
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
