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
	ParamStyle      string `yaml:"param_style" env:"PARAM_STYLE"` // netease: paramMap or, for accounts from before 2025-11-05, authCode

	Params Params `yaml:"params" env:"PARAMS"` // of the templates; left out, the vendor's usual ones

	// For numbers outside mainland China; without one such a number is another provider's.
	TemplateCodeInternational string `yaml:"template_code_international" env:"TEMPLATE_CODE_INTERNATIONAL"`
	TemplateIDInternational   string `yaml:"template_id_international" env:"TEMPLATE_ID_INTERNATIONAL"`
	SignNameInternational     string `yaml:"sign_name_international" env:"SIGN_NAME_INTERNATIONAL"`

	// By purpose: login, change_phone, step_up, delete. A purpose without one uses those above.
	Templates map[string]Template `yaml:"templates" env:"TEMPLATES"`
}

// Template is what a vendor has approved for one purpose.
type Template struct {
	ID              string `yaml:"id"`
	IDInternational string `yaml:"id_international"` // for numbers outside mainland China
	SignName        string `yaml:"sign_name"`        // instead of the provider's, in mainland China
	Params          Params `yaml:"params"`           // left out, the provider's
}

// providerType says which members a type has.
type providerType struct {
	name     string
	required []string
	optional []string
	template templateRules
}

// templateRules say what a vendor's templates are like.
type templateRules struct {
	member string // the key of the template for all purposes, "" for a type without templates
	named  bool   // parameters have names; otherwise they are counted
	abroad bool   // there are templates for numbers outside mainland China
	signed bool   // the signature is given with each message
}

func providerTypes() []providerType {
	return []providerType{
		{name: "console"},
		{name: "webhook", required: []string{"url", "secret"}},
		{name: "aliyun", required: []string{"access_key_id", "access_key_secret", "sign_name"}, optional: []string{"endpoint", "region", "sign_name_international"},
			template: templateRules{member: "template_code", named: true, abroad: true, signed: true}},
		{name: "tencent", required: []string{"secret_id", "secret_key", "sdk_app_id", "sign_name"}, optional: []string{"endpoint", "region", "sign_name_international"},
			template: templateRules{member: "template_id", abroad: true, signed: true}},
		{name: "netease", required: []string{"app_key", "app_secret"}, optional: []string{"endpoint", "param_style"},
			template: templateRules{member: "template_id", named: true, abroad: true}},
		{name: "yuntongxun", required: []string{"account_sid", "auth_token", "app_id"}, optional: []string{"endpoint"}, template: templateRules{member: "template_id"}},
	}
}

// has reports whether a member is one of the type's templates.
func (r templateRules) has(member string) bool {
	return r.member != "" && (member == r.member || member == "templates" || member == "params" ||
		member == r.member+"_international" && r.abroad)
}

func providerNames() []string {
	var names []string
	for _, t := range providerTypes() {
		names = append(names, t.name)
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
