package sms

// AliyunCodes is what the codes of Aliyun's SendSms mean. One that ends in
// ".*" stands for every longer code that is not listed, "*" for all the rest: a
// refusal that nobody has documented is still a refusal, so another provider may
// be asked, and it is not taken for a mistake of the configuration, since that
// closes the provider for everybody and one number might provoke it.
func AliyunCodes() []VendorCode {
	const (
		balance  = "the account has no balance, or its service is stopped for arrears"
		internal = "error inside the vendor, certainly not sent"
		flow     = "the account calls too often"
		key      = "access_key_id is unknown, disabled or not permitted to send"
		clock    = "this machine's clock is off by more than 15 minutes"
		request  = "the request is not what the vendor expects"
		account  = "the account is closed, frozen or has not ordered the service"
		sign     = "sign_name is not approved, or not for this use"
		template = "the template is not approved, or its variables are others than those configured"
		text     = "the text or a variable has what is not allowed"
		tests    = "limits of the vendor's signature and template for tests"
	)
	return []VendorCode{
		{"OK", "", "accepted"},
		{"isv.OUT_OF_SERVICE", Failover, balance},
		{"isv.AMOUNT_NOT_ENOUGH", Failover, balance},
		{"isv.DAY_LIMIT_CONTROL", Failover, "the account's own limit for a day is reached: raise it in the console"},
		{"isv.MONTH_LIMIT_CONTROL", Failover, "the account's own limit for a month is reached: raise it in the console"},
		{"isp.SYSTEM_ERROR", Failover, internal},
		{"isp.GATEWAY_ERROR", Failover, internal},
		{"isp.UNKNOWN_ERR_CODE", Failover, internal},
		{"isp.*", Ambiguous, "error inside the vendor that is not documented"},
		{"Throttling", Failover, flow},
		{"Throttling.*", Failover, flow},
		{"ServiceUnavailable", Failover, internal},
		{"InternalError", Failover, internal},
		{"isv.MOBILE_NUMBER_ILLEGAL", BadNumber, "the number is malformed or not served"},
		{"isv.DOMESTIC_NUMBER_NOT_SUPPORTED", BadNumber, "the template is not for numbers of mainland China; check the templates"},
		{"isv.BUSINESS_LIMIT_CONTROL", NumberLimited, "one message a minute, 5 an hour, 10 in 24 hours to one number, unless the console says otherwise"},
		{"isv.BLACK_KEY_CONTROL_LIMIT", Blocked, "the number is blacklisted"},
		{"isv.CUSTOMER_REFUSED", Blocked, "the number has unsubscribed"},
		// Each call has a nonce of its own: if the vendor knows it, something
		// between us has repeated the call.
		{"SignatureNonceUsed", Ambiguous, "the call was repeated on its way"},
		{"SignatureDoesNotMatch", Misconfigured, "access_key_secret is wrong"},
		{"IncompleteSignature", Misconfigured, request},
		{"InvalidAccessKeyId.*", Misconfigured, key},
		{"InvalidAccessKeyId.NotFound", Misconfigured, key},
		{"InvalidAccessKeyId.Inactive", Misconfigured, key},
		{"InvalidTimeStamp.*", Misconfigured, clock},
		{"InvalidTimeStamp.Expired", Misconfigured, clock},
		{"InvalidVersion", Misconfigured, request},
		{"InvalidAction.*", Misconfigured, request},
		{"InvalidAction.NotFound", Misconfigured, request},
		{"InvalidParameter", Misconfigured, request},
		{"InvalidParameter.*", Misconfigured, request},
		{"MissingParameter", Misconfigured, request},
		{"MissingParameter.*", Misconfigured, request},
		{"MissingPhoneNumbers", Misconfigured, request},
		{"MissingSignName", Misconfigured, request},
		{"MissingTemplateCode", Misconfigured, request},
		{"Forbidden", Misconfigured, key},
		{"Forbidden.*", Misconfigured, key},
		{"NoPermission", Misconfigured, key},
		{"isp.RAM_PERMISSION_DENY", Misconfigured, key},
		{"SIGNATURE_BLACKLIST", Misconfigured, sign},
		{"isv.SIGNATURE_BLACKLIST", Misconfigured, sign},
		{"PORT_NOT_REGISTERED", Misconfigured, sign},
		{"isv.PORT_NOT_REGISTERED", Misconfigured, sign},
		{"isv.DENY_IP_RANGE", Misconfigured, "callers outside mainland China are not allowed"},
		{"isv.ACCOUNT_NOT_EXISTS", Misconfigured, account},
		{"isv.ACCOUNT_ABNORMAL", Misconfigured, account},
		{"isv.SECURITY_FROZEN_ACCOUNT", Misconfigured, account},
		{"isv.PRODUCT_UN_SUBSCRIPT", Misconfigured, account},
		{"isv.PRODUCT_UNSUBSCRIBE", Misconfigured, account},
		{"isv.SMS_TEMPLATE_ILLEGAL", Misconfigured, template},
		{"isv.TEMPLATE_MISSING_PARAMETERS", Misconfigured, template},
		{"isv.TEMPLATE_PARAMS_ILLEGAL", Misconfigured, template},
		{"isv.TEMPLATE_PARAMETER_COUNT_ILLEGAL", Misconfigured, template},
		{"isv.SMS_SIGNATURE_ILLEGAL", Misconfigured, sign},
		{"isv.SMS_SIGN_ILLEGAL", Misconfigured, sign},
		{"isv.SIGN_STATE_ILLEGAL", Misconfigured, sign},
		{"isv.SMS_SIGNATURE_SCENE_ILLEGAL", Misconfigured, sign},
		{"isv.SMS_CONTENT_ILLEGAL", Misconfigured, text},
		{"isv.UNSUPPORTED_CONTENT", Misconfigured, text},
		{"isv.EXTEND_CODE_ERROR", Misconfigured, request},
		{"isv.INVALID_PARAMETERS", Misconfigured, request},
		{"isv.INVALID_JSON_PARAM", Misconfigured, request},
		{"isv.PARAM_LENGTH_LIMIT", Misconfigured, text},
		{"isv.PARAM_NOT_SUPPORT_URL", Misconfigured, text},
		{"isv.MOBILE_COUNT_OVER_LIMIT", Misconfigured, request},
		{"isv.SMS_TEST_SIGN_TEMPLATE_LIMIT", Misconfigured, tests},
		{"isv.SMS_TEST_TEMPLATE_PARAMS_ILLEGAL", Misconfigured, tests},
		{"isv.SMS_TEST_NUMBER_LIMIT", Misconfigured, tests},
		{"*", Failover, "not documented"},
	}
}
