package sms

import (
	"net/http"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// Refusals that a client may learn. Where waiting helps they carry RetryAfter.
var (
	ErrNumberInvalid     = fault.New(http.StatusUnprocessableEntity, "phone_invalid", "the phone number is not one that can receive texts")
	ErrRegionUnsupported = fault.New(http.StatusUnprocessableEntity, "phone_region_unsupported", "numbers of this country or region are not supported")

	ErrTooSoon     = fault.New(http.StatusTooManyRequests, "sms_too_soon", "a code was sent to this number moments ago")
	ErrHourlyLimit = fault.New(http.StatusTooManyRequests, "sms_hourly_limit", "too many codes were sent to this number within the hour")
	ErrDailyLimit  = fault.New(http.StatusTooManyRequests, "sms_daily_limit", "too many codes were sent to this number within a day")
	ErrRateLimited = fault.New(http.StatusTooManyRequests, "rate_limited", "too many requests, try again later")

	// ErrHumanCheckRequired asks for a human check (package captcha) and the same request again with
	// Request.Human. Its parameter level says how hard the check must be: "1", "2" or "3".
	ErrHumanCheckRequired = fault.New(http.StatusForbidden, "captcha_required", "complete the security check first")

	ErrRejected            = fault.New(http.StatusUnprocessableEntity, "sms_rejected", "this number cannot receive our texts")
	ErrProviderUnavailable = fault.New(http.StatusServiceUnavailable, "sms_provider_unavailable", "the text message could not be sent, try again shortly")
	ErrSignInStopped       = fault.New(http.StatusForbidden, "sms_sign_in_stopped", "sign-in by text message is stopped for this number after too many wrong codes")

	ErrCodeIncorrect     = fault.New(http.StatusUnprocessableEntity, "code_incorrect", "the code is not right")
	ErrCodeIncorrectLast = fault.New(http.StatusUnprocessableEntity, "code_incorrect_last", "the code is not right and few tries are left")
	ErrCodeExpired       = fault.New(http.StatusUnprocessableEntity, "code_expired", "the code has expired or was used, ask for a new one")
	ErrAttemptsExceeded  = fault.New(http.StatusTooManyRequests, "code_attempts_exceeded", "too many wrong codes, ask for a new one")
	ErrTriesLimited      = fault.New(http.StatusTooManyRequests, "code_tries_limited", "too many wrong codes for this number, try again later")
)
