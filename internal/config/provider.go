package config

import "slices"

// Provider is an account with somebody who delivers messages. Which members it
// has depends on its type.
type Provider struct {
	Type string `yaml:"type" env:"TYPE"` // console, webhook, aliyun, tencent, netease, yuntongxun

	URL    string `yaml:"url" env:"URL" secret:"url"` // webhook
	Secret Secret `yaml:"secret" env:"SECRET"`        // webhook, signs its requests

	Endpoint        string `yaml:"endpoint" env:"ENDPOINT"` // vendors: replaces scheme, host and port
	AccessKeyID     string `yaml:"access_key_id" env:"ACCESS_KEY_ID"`
	AccessKeySecret Secret `yaml:"access_key_secret" env:"ACCESS_KEY_SECRET"`
	SecretID        string `yaml:"secret_id" env:"SECRET_ID"`
	SecretKey       Secret `yaml:"secret_key" env:"SECRET_KEY"`
	AppKey          string `yaml:"app_key" env:"APP_KEY"`
	AppSecret       Secret `yaml:"app_secret" env:"APP_SECRET"`
	AccountSID      string `yaml:"account_sid" env:"ACCOUNT_SID"`
	AuthToken       Secret `yaml:"auth_token" env:"AUTH_TOKEN"`
	AppID           string `yaml:"app_id" env:"APP_ID"`
	SDKAppID        string `yaml:"sdk_app_id" env:"SDK_APP_ID"`
	SignName        string `yaml:"sign_name" env:"SIGN_NAME"`
	TemplateCode    string `yaml:"template_code" env:"TEMPLATE_CODE"`
	TemplateID      string `yaml:"template_id" env:"TEMPLATE_ID"`
	Region          string `yaml:"region" env:"REGION"`
}

// providerType says which members a type has.
type providerType struct {
	name      string
	available bool // in this version
	required  []string
	optional  []string
}

func providerTypes() []providerType {
	return []providerType{
		{name: "console", available: true},
		{name: "webhook", available: true, required: []string{"url", "secret"}},
		{name: "aliyun", required: []string{"access_key_id", "access_key_secret", "sign_name", "template_code"}, optional: []string{"endpoint"}},
		{name: "tencent", required: []string{"secret_id", "secret_key", "sdk_app_id", "sign_name", "template_id"}, optional: []string{"endpoint", "region"}},
		{name: "netease", required: []string{"app_key", "app_secret", "template_id"}, optional: []string{"endpoint"}},
		{name: "yuntongxun", required: []string{"account_sid", "auth_token", "app_id", "template_id"}, optional: []string{"endpoint"}},
	}
}

// availableProviders names the types that this version has.
func availableProviders() []string {
	var names []string
	for _, t := range providerTypes() {
		if t.available {
			names = append(names, t.name)
		}
	}
	return names
}

func providerTypeOf(name string) (providerType, bool) {
	types := providerTypes()
	i := slices.IndexFunc(types, func(t providerType) bool { return t.name == name })
	if i < 0 {
		return providerType{}, false
	}
	return types[i], true
}
