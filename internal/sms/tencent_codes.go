package sms

// TencentCodes is what the codes of Tencent Cloud's SendSms mean, those of the
// request and those of the number alike. One that ends in ".*" stands for every
// longer code that is not listed, "*" for all the rest, as in [AliyunCodes].
func TencentCodes() []VendorCode {
	const (
		internal = "error inside the vendor, certainly not sent"
		silence  = "the vendor got no answer from the operator in time"
		balance  = "the account has no messages left, or its service is stopped for arrears"
		limits   = "the application's own limit is reached: raise it in the console"
		key      = "secret_id or secret_key is wrong, disabled or not permitted to send"
		request  = "the request is not what the vendor expects"
		app      = "sdk_app_id is wrong, disabled or not of this account"
		sign     = "sign_name is not approved"
		template = "the template is not approved, or its variables are others than those configured"
		text     = "the text or a variable has what is not allowed"
		border   = "the template is for the other side of the border"
		number   = "the number is malformed or its region is not served"
	)
	return []VendorCode{
		{"Ok", "", "accepted"},
		{"FailedOperation.InsufficientBalanceInSmsPackage", Failover, balance},
		{"UnauthorizedOperation.ServiceSuspendDueToArrears", Failover, balance},
		{"InternalError", Failover, internal},
		{"InternalError.OtherError", Failover, internal},
		{"InternalError.UnknownError", Failover, internal},
		{"InternalError.ParseBackendResponseFail", Failover, internal},
		{"RequestLimitExceeded", Failover, "the account calls too often"},
		{"RequestLimitExceeded.*", Failover, "the account calls too often"},
		{"LimitExceeded.AppDailyLimit", Failover, limits},
		{"LimitExceeded.AppMainlandChinaDailyLimit", Failover, limits},
		{"LimitExceeded.AppGlobalDailyLimit", Failover, limits},
		{"LimitExceeded.AppCountryOrRegionDailyLimit", Failover, limits},
		{"LimitExceeded.DailyLimit", Failover, limits},
		{"InternalError.Timeout", Ambiguous, silence},
		{"InternalError.SendAndRecvFail", Ambiguous, silence},
		{"InternalError.*", Ambiguous, "error inside the vendor that is not documented"},
		{"InvalidParameterValue.IncorrectPhoneNumber", BadNumber, number},
		{"FailedOperation.PhoneNumberParseFail", BadNumber, number},
		{"UnsupportedOperation.UnsupportedRegion", BadNumber, number},
		{"UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber", BadNumber, border},
		{"LimitExceeded.AppCountryOrRegionInBlacklist", BadNumber, "the number's country is not enabled in the console"},
		{"LimitExceeded.PhoneNumberThirtySecondLimit", NumberLimited, "one message in 30 seconds to one number"},
		{"LimitExceeded.PhoneNumberOneHourLimit", NumberLimited, "the limit of an hour for one number"},
		{"LimitExceeded.PhoneNumberDailyLimit", NumberLimited, "the limit of a day for one number: it is 2 until raised in the console"},
		{"LimitExceeded.PhoneNumberSameContentDailyLimit", NumberLimited, "the same text to one number too often in a day"},
		{"LimitExceeded.DeliveryFrequencyLimit", NumberLimited, "a limit for one number that the console sets"},
		{"FailedOperation.PhoneNumberInBlacklist", Blocked, "the number is blacklisted or has unsubscribed"},
		{"AuthFailure", Misconfigured, key},
		{"AuthFailure.*", Misconfigured, key},
		{"AuthFailure.SignatureExpire", Misconfigured, "this machine's clock is off by more than 5 minutes"},
		{"AuthFailure.SignatureFailure", Misconfigured, "secret_key is wrong"},
		{"AuthFailure.SecretIdNotFound", Misconfigured, "secret_id is wrong"},
		{"UnauthorizedOperation", Misconfigured, key},
		{"UnauthorizedOperation.*", Misconfigured, key},
		{"UnauthorizedOperation.RequestPermissionDeny", Misconfigured, key},
		{"UnauthorizedOperation.RequestIpNotInWhitelist", Misconfigured, "the address of the caller is not on the list of allowed ones"},
		{"UnauthorizedOperation.SdkAppIdIsDisabled", Misconfigured, app},
		{"UnauthorizedOperation.SmsSdkAppIdVerifyFail", Misconfigured, app},
		{"UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny", Misconfigured, template},
		{"InvalidParameterValue.SdkAppIdNotExist", Misconfigured, app},
		{"InvalidParameterValue.TemplateParameterFormatError", Misconfigured, "variables of verification templates are 6 digits at most"},
		{"InvalidParameterValue.TemplateParameterLengthLimit", Misconfigured, text},
		{"InvalidParameterValue.ContentLengthLimit", Misconfigured, text},
		{"InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", Misconfigured, text},
		{"InvalidParameterValue", Misconfigured, request},
		{"InvalidParameterValue.*", Misconfigured, request},
		{"InvalidParameter", Misconfigured, request},
		{"InvalidParameter.*", Misconfigured, request},
		{"MissingParameter", Misconfigured, request},
		{"MissingParameter.*", Misconfigured, request},
		{"UnknownParameter", Misconfigured, request},
		{"InvalidAction", Misconfigured, request},
		{"NoSuchVersion", Misconfigured, request},
		{"UnsupportedProtocol", Misconfigured, request},
		{"UnsupportedRegion", Misconfigured, "region is not one of the vendor's"},
		{"FailedOperation.SignatureIncorrectOrUnapproved", Misconfigured, sign},
		{"FailedOperation.MissingSignature", Misconfigured, sign},
		{"FailedOperation.TemplateIncorrectOrUnapproved", Misconfigured, template},
		{"FailedOperation.TemplateUnapprovedOrNotExist", Misconfigured, template},
		{"FailedOperation.TemplateIdNotExist", Misconfigured, template},
		{"FailedOperation.TemplateParamSetNotMatchApprovedTemplate", Misconfigured, template},
		{"FailedOperation.ContainSensitiveWord", Misconfigured, text},
		{"FailedOperation.FailResolvePacket", Misconfigured, request},
		{"FailedOperation.JsonParseFail", Misconfigured, request},
		{"FailedOperation.ProhibitSubAccountUse", Misconfigured, key},
		{"UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone", Misconfigured, border},
		{"UnsupportedOperation.GlobalTemplateToChineseMainlandPhone", Misconfigured, border},
		{"InternalError.SigVerificationFail", Misconfigured, key},
		{"InternalError.SigFieldMissing", Misconfigured, key},
		{"InternalError.RequestTimeException", Misconfigured, "this machine's clock is off"},
		{"InternalError.RestApiInterfaceNotExist", Misconfigured, request},
		{"InternalError.JsonParseFail", Misconfigured, request},
		{"LimitExceeded.PhoneNumberCountLimit", Misconfigured, request},
		{"*", Failover, "not documented"},
	}
}
