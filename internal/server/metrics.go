package server

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// metrics has its own registry: nothing global, and tests may run many servers.
// Labels are bounded and never hold a number, a person or an address.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	sends    *prometheus.CounterVec
	sendTime *prometheus.HistogramVec
	checks   *prometheus.CounterVec
	captcha  *prometheus.CounterVec
	reports  *prometheus.CounterVec
	breakers *prometheus.GaugeVec
	quotas   *prometheus.CounterVec
	cost     *prometheus.CounterVec
	codes    *prometheus.CounterVec
	people   people
	tokens   *prometheus.CounterVec
	refused  *prometheus.CounterVec

	all []prometheus.Collector // for the test that knows every name
}

// people is what they did, read off the audit log.
type people struct {
	logins, consents      *prometheus.CounterVec
	registrations, reused prometheus.Counter
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dialtone_http_request_duration_seconds",
			Help:    "Time from the first byte of a request to the last of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "method", "code"}),
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_sms_sends_total",
			Help: "Messages by what became of them.",
		}, []string{"provider", "country", "purpose", "result", "reason"}),
		sendTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dialtone_sms_send_duration_seconds",
			Help:    "Time a provider took to answer.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 1.5, 3, 8},
		}, []string{"provider"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_otp_verify_attempts_total",
			Help: "Codes that people typed, by outcome.",
		}, []string{"result"}),
		captcha: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_captcha_total",
			Help: "Answers to human checks, by outcome.",
		}, []string{"type", "result"}),
		codes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_otp_challenges_total",
			Help: "One-time codes that ended: verified, or exhausted by wrong tries.",
		}, []string{"purpose", "country", "outcome"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_tokens_issued_total",
			Help: "Tokens handed out by the token endpoint.",
		}, []string{"grant", "type"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_token_errors_total",
			Help: "Token requests refused, by the error of the answer.",
		}, []string{"grant", "error"}),
		people: newPeople(),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_sms_delivery_reports_total",
			Help: "Delivery reports of providers by what they say; refused counts pushes.",
		}, []string{"provider", "status"}),
		breakers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dialtone_sms_breaker_state",
			Help: "Whether a provider is asked: 0 closed, it is; 1 half-open, one message tries it; 2 open, another one is asked.",
		}, []string{"provider"}),
		quotas: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_sms_quota_rejections_total",
			Help: "Requests for a message that met a limit: refused, or asked for a human check.",
		}, []string{"scope", "window"}),
		cost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_sms_cost_total",
			Help: "Price of the messages that providers took or may have taken.",
		}, []string{"provider", "currency"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "dialtone_build_info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	info.Set(1)
	m.register(m.requests, m.sends, m.sendTime, m.checks, m.captcha, m.reports, m.breakers, m.quotas, m.cost, m.codes, m.tokens, m.refused, info,
		m.people.logins, m.people.registrations, m.people.consents, m.people.reused,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) register(list ...prometheus.Collector) {
	m.registry.MustRegister(list...)
	m.all = append(m.all, list...)
}

func newPeople() people {
	return people{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_logins_total",
			Help: "Sign-ins of people who proved who they are; refused are those of disabled accounts.",
		}, []string{"method", "result", "new_user"}),
		registrations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dialtone_registrations_total",
			Help: "Accounts that people made by signing in.",
		}),
		consents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_consents_total",
			Help: "Answers on the consent page.",
		}, []string{"decision"}),
		reused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dialtone_refresh_reuse_detected_total",
			Help: "Grants revoked because an old refresh token came again: somebody has a copy.",
		}),
	}
}

// watch adds what is read when somebody scrapes.
func (m *metrics) watch(d *db.DB, ring *signing.Ring, degraded func() bool) {
	counter := func(name, help string, value func(db.Counters) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(d.Counters())) })
	}
	m.register(
		counter("dialtone_db_commits_total", "Database transactions committed, single statements included.",
			func(c db.Counters) int64 { return c.Commits }),
		counter("dialtone_db_reads_total", "Database reads outside a transaction.",
			func(c db.Counters) int64 { return c.Reads }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dialtone_signing_key_age_seconds",
			Help: "How long the oldest of the active signing keys has signed.",
		}, func() float64 { return time.Since(ring.ActiveSince()).Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dialtone_ephemeral_degraded",
			Help: "1 while Redis is configured but away and SQL stands in.",
		}, func() float64 {
			if degraded() {
				return 1
			}
			return 0
		}))
}

func (m *metrics) answered(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, knownMethod(method), strconv.Itoa(status)).Observe(took.Seconds())
}

// SendSettled, CheckDone and ReceiptReceived are what sms tells (sms.Observer).
func (m *metrics) SendSettled(e sms.SendSettled) {
	m.sends.WithLabelValues(e.Provider, e.Region, string(e.Purpose), e.Result, e.Reason).Inc()
	m.sendTime.WithLabelValues(e.Provider).Observe(e.Duration.Seconds())
	if e.Cost > 0 {
		m.cost.WithLabelValues(e.Provider, e.Currency).Add(e.Cost.Float())
	}
}

func (m *metrics) CheckDone(e sms.CheckDone) {
	m.checks.WithLabelValues(e.Result).Inc()
	switch {
	case e.Result == "right":
		m.codes.WithLabelValues(string(e.Purpose), e.Region, "verified").Inc()
	case e.Ended:
		m.codes.WithLabelValues(string(e.Purpose), e.Region, "exhausted").Inc()
	}
}

// TokenDone is what oauth tells (oauth.Observer).
func (m *metrics) TokenDone(e oauth.TokenDone) {
	if e.Error != "" {
		m.refused.WithLabelValues(e.Grant, e.Error).Inc()
		return
	}
	m.tokens.WithLabelValues(e.Grant, "access").Inc()
	if e.Refresh {
		m.tokens.WithLabelValues(e.Grant, "refresh").Inc()
	}
	if e.ID {
		m.tokens.WithLabelValues(e.Grant, "id").Inc()
	}
}

// recorded counts what the audit log has recorded (audit.Log.Observe).
func (m *metrics) recorded(e audit.Event) {
	method := e.Detail["method"]
	switch {
	case e.Name == "login.succeeded":
		m.people.logins.WithLabelValues(method, "success", "false").Inc()
	case e.Name == "login.refused":
		m.people.logins.WithLabelValues(method, "refused", "false").Inc()
	case e.Name == "user.created" && method != "": // an operator's accounts have none
		m.people.logins.WithLabelValues(method, "success", "true").Inc()
		m.people.registrations.Inc()
	case e.Name == "consent.granted":
		m.people.consents.WithLabelValues("allow").Inc()
	case e.Name == "consent.denied":
		m.people.consents.WithLabelValues("deny").Inc()
	case e.Name == "grant.reuse_detected" && e.Detail["reason"] == grant.ReasonRefreshReused:
		m.people.reused.Inc()
	}
}

// captchaDone is what a human check tells (captcha.Config.Observe).
func (m *metrics) captchaDone(kind, result string) { m.captcha.WithLabelValues(kind, result).Inc() }

func (m *metrics) ReceiptReceived(e sms.ReceiptReceived) {
	m.reports.WithLabelValues(e.Provider, e.Status).Inc()
}

// BreakerChanged keeps the present state (sms.Observer).
func (m *metrics) BreakerChanged(e sms.BreakerChanged) {
	value := map[string]float64{"closed": 0, "half-open": 1, "open": 2}[e.State]
	m.breakers.WithLabelValues(e.Provider).Set(value)
}

// QuotaRefused, BudgetStep and ScopeChanged are what sms tells (sms.Observer).
// The log has the last two.
func (m *metrics) QuotaRefused(e sms.QuotaRefused) {
	m.quotas.WithLabelValues(e.Scope, e.Window).Inc()
}

func (m *metrics) BudgetStep(sms.BudgetStep)     {}
func (m *metrics) ScopeChanged(sms.ScopeChanged) {}

// knownMethod keeps made-up methods from making label values.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch:
		return m
	}
	return "other"
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
