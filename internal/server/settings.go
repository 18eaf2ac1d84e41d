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
	routes := make(map[string][]sms.Provider, len(c.SMS.Routes))
	for region, names := range c.SMS.Routes {
		for _, name := range names {
			routes[region] = append(routes[region], providers[name])
		}
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
	route := built.Routes[region]
	if route == nil {
		route = built.Routes["*"]
	}
	if len(route) == 0 {
		return nil, fmt.Errorf("no route for region %s: %w", region, db.ErrNotFound)
	}
	return route, nil
}

// SMSLimits are what an operator's verbs must keep to as the server does.
func SMSLimits(c config.Config) (sms.Config, error) {
	return smsConfig(c, io.Discard, slog.Default())
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
