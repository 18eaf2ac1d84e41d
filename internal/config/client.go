package config

// Client is a client of the configuration. It has the member names of RFC 7591
// section 2, of the OpenID registration and logout specifications, and ours.
// Members tagged "later" are known and not available in this version.
type Client struct {
	ClientID                 string   `yaml:"client_id" env:"CLIENT_ID"`
	ClientSecret             Secret   `yaml:"client_secret" env:"CLIENT_SECRET"`
	ClientName               string   `yaml:"client_name" env:"CLIENT_NAME"`
	ApplicationType          string   `yaml:"application_type" env:"APPLICATION_TYPE"`                     // web, native
	TokenEndpointAuthMethod  string   `yaml:"token_endpoint_auth_method" env:"TOKEN_ENDPOINT_AUTH_METHOD"` // client_secret_basic, client_secret_post, none
	GrantTypes               []string `yaml:"grant_types" env:"GRANT_TYPES"`
	ResponseTypes            []string `yaml:"response_types" env:"RESPONSE_TYPES"`
	RedirectURIs             []string `yaml:"redirect_uris" env:"REDIRECT_URIS"`
	PostLogoutRedirectURIs   []string `yaml:"post_logout_redirect_uris" env:"POST_LOGOUT_REDIRECT_URIS"`
	Scope                    string   `yaml:"scope" env:"SCOPE"` // space-separated
	ClientURI                string   `yaml:"client_uri" env:"CLIENT_URI"`
	LogoURI                  string   `yaml:"logo_uri" env:"LOGO_URI"`
	PolicyURI                string   `yaml:"policy_uri" env:"POLICY_URI"`
	TOSURI                   string   `yaml:"tos_uri" env:"TOS_URI"`
	ClientNameChinese        string   `yaml:"client_name#zh-CN" env:"CLIENT_NAME_ZH_CN"`
	ClientNameEnglish        string   `yaml:"client_name#en" env:"CLIENT_NAME_EN"`
	Contacts                 []string `yaml:"contacts" env:"CONTACTS"`
	IDTokenSignedResponseAlg string   `yaml:"id_token_signed_response_alg" env:"ID_TOKEN_SIGNED_RESPONSE_ALG"`
	DefaultMaxAge            *int     `yaml:"default_max_age" env:"DEFAULT_MAX_AGE"` // seconds
	RequireAuthTime          bool     `yaml:"require_auth_time" env:"REQUIRE_AUTH_TIME"`
	SubjectType              string   `yaml:"subject_type" env:"SUBJECT_TYPE"` // public

	// Ours.
	FirstParty    bool     `yaml:"first_party" env:"FIRST_PARTY"`
	RequirePKCE   *bool    `yaml:"require_pkce" env:"REQUIRE_PKCE"` // true if it is not set
	SkipAgreement bool     `yaml:"skip_agreement" env:"SKIP_AGREEMENT"`
	ResponseModes []string `yaml:"response_modes" env:"RESPONSE_MODES"`
	Disabled      bool     `yaml:"disabled" env:"DISABLED"`

	SecurityEventURI string `yaml:"security_event_uri" env:"SECURITY_EVENT_URI"`

	BrandColor     string `yaml:"brand_color" env:"BRAND_COLOR"`         // #rrggbb
	SupportContact string `yaml:"support_contact" env:"SUPPORT_CONTACT"` // mailto:, tel: or https:

	JWKS                               given    `yaml:"jwks" env:"JWKS" later:"yes"`
	JWKSURI                            string   `yaml:"jwks_uri" env:"JWKS_URI" later:"yes"`
	TokenEndpointAuthSigningAlg        string   `yaml:"token_endpoint_auth_signing_alg" env:"TOKEN_ENDPOINT_AUTH_SIGNING_ALG" later:"yes"`
	FrontchannelLogoutURI              string   `yaml:"frontchannel_logout_uri" env:"FRONTCHANNEL_LOGOUT_URI" later:"yes"`
	FrontchannelLogoutSessionRequired  bool     `yaml:"frontchannel_logout_session_required" env:"FRONTCHANNEL_LOGOUT_SESSION_REQUIRED" later:"yes"`
	BackchannelLogoutURI               string   `yaml:"backchannel_logout_uri" env:"BACKCHANNEL_LOGOUT_URI" later:"yes"`
	BackchannelLogoutSessionRequired   bool     `yaml:"backchannel_logout_session_required" env:"BACKCHANNEL_LOGOUT_SESSION_REQUIRED" later:"yes"`
	SectorIdentifierURI                string   `yaml:"sector_identifier_uri" env:"SECTOR_IDENTIFIER_URI" later:"yes"`
	InitiateLoginURI                   string   `yaml:"initiate_login_uri" env:"INITIATE_LOGIN_URI" later:"yes"`
	DefaultACRValues                   []string `yaml:"default_acr_values" env:"DEFAULT_ACR_VALUES" later:"yes"`
	RequestURIs                        []string `yaml:"request_uris" env:"REQUEST_URIS" later:"yes"`
	RequestObjectSigningAlg            string   `yaml:"request_object_signing_alg" env:"REQUEST_OBJECT_SIGNING_ALG" later:"yes"`
	RequestObjectEncryptionAlg         string   `yaml:"request_object_encryption_alg" env:"REQUEST_OBJECT_ENCRYPTION_ALG" later:"yes"`
	RequestObjectEncryptionEnc         string   `yaml:"request_object_encryption_enc" env:"REQUEST_OBJECT_ENCRYPTION_ENC" later:"yes"`
	IDTokenEncryptedResponseAlg        string   `yaml:"id_token_encrypted_response_alg" env:"ID_TOKEN_ENCRYPTED_RESPONSE_ALG" later:"yes"`
	IDTokenEncryptedResponseEnc        string   `yaml:"id_token_encrypted_response_enc" env:"ID_TOKEN_ENCRYPTED_RESPONSE_ENC" later:"yes"`
	UserinfoSignedResponseAlg          string   `yaml:"userinfo_signed_response_alg" env:"USERINFO_SIGNED_RESPONSE_ALG" later:"yes"`
	UserinfoEncryptedResponseAlg       string   `yaml:"userinfo_encrypted_response_alg" env:"USERINFO_ENCRYPTED_RESPONSE_ALG" later:"yes"`
	UserinfoEncryptedResponseEnc       string   `yaml:"userinfo_encrypted_response_enc" env:"USERINFO_ENCRYPTED_RESPONSE_ENC" later:"yes"`
	AuthorizationSignedResponseAlg     string   `yaml:"authorization_signed_response_alg" env:"AUTHORIZATION_SIGNED_RESPONSE_ALG" later:"yes"`
	IntrospectionSignedResponseAlg     string   `yaml:"introspection_signed_response_alg" env:"INTROSPECTION_SIGNED_RESPONSE_ALG" later:"yes"`
	RequireSignedRequestObject         bool     `yaml:"require_signed_request_object" env:"REQUIRE_SIGNED_REQUEST_OBJECT" later:"yes"`
	RequirePushedAuthorizationRequests bool     `yaml:"require_pushed_authorization_requests" env:"REQUIRE_PUSHED_AUTHORIZATION_REQUESTS" later:"yes"`
	DPoPBoundAccessTokens              bool     `yaml:"dpop_bound_access_tokens" env:"DPOP_BOUND_ACCESS_TOKENS" later:"yes"`
	BackchannelTokenDeliveryMode       string   `yaml:"backchannel_token_delivery_mode" env:"BACKCHANNEL_TOKEN_DELIVERY_MODE" later:"yes"`
	BackchannelNotificationEndpoint    string   `yaml:"backchannel_client_notification_endpoint" env:"BACKCHANNEL_CLIENT_NOTIFICATION_ENDPOINT" later:"yes"`
	BackchannelRequestSigningAlg       string   `yaml:"backchannel_authentication_request_signing_alg" env:"BACKCHANNEL_AUTHENTICATION_REQUEST_SIGNING_ALG" later:"yes"`
	BackchannelUserCodeParameter       bool     `yaml:"backchannel_user_code_parameter" env:"BACKCHANNEL_USER_CODE_PARAMETER" later:"yes"`
	SoftwareID                         string   `yaml:"software_id" env:"SOFTWARE_ID" later:"yes"`
	SoftwareVersion                    string   `yaml:"software_version" env:"SOFTWARE_VERSION" later:"yes"`
	SoftwareStatement                  string   `yaml:"software_statement" env:"SOFTWARE_STATEMENT" later:"yes"`
}

// given says that a member is there, for one that is refused whatever it holds.
type given bool

// Public reports whether the client has no secret (RFC 6749 section 2.1).
func (c Client) Public() bool { return c.TokenEndpointAuthMethod == "none" }
