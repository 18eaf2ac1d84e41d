package server

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dialtone-id/dialtone/internal/db"
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
	quotas   *prometheus.CounterVec
	cost     *prometheus.CounterVec
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
		}, []string{"provider", "region", "purpose", "result", "reason"}),
		sendTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dialtone_sms_send_duration_seconds",
			Help:    "Time a provider took to answer.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 1.5, 3, 8},
		}, []string{"provider"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialtone_otp_verify_attempts_total",
			Help: "Codes that people typed, by outcome.",
		}, []string{"result"}),
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
	m.registry.MustRegister(m.requests, m.sends, m.sendTime, m.checks, m.quotas, m.cost, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds what is read when somebody scrapes.
func (m *metrics) watch(d *db.DB, degraded func() bool) {
	counter := func(name, help string, value func(db.Counters) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(d.Counters())) })
	}
	m.registry.MustRegister(
		counter("dialtone_db_commits_total", "Database transactions committed, single statements included.",
			func(c db.Counters) int64 { return c.Commits }),
		counter("dialtone_db_reads_total", "Database reads outside a transaction.",
			func(c db.Counters) int64 { return c.Reads }),
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

// SendSettled and CheckDone are what sms tells (sms.Observer).
func (m *metrics) SendSettled(e sms.SendSettled) {
	m.sends.WithLabelValues(e.Provider, e.Region, string(e.Purpose), e.Result, e.Reason).Inc()
	m.sendTime.WithLabelValues(e.Provider).Observe(e.Duration.Seconds())
	if e.Cost > 0 {
		m.cost.WithLabelValues(e.Provider, e.Currency).Add(e.Cost.Float())
	}
}

// QuotaRefused, BudgetStep and ScopeChanged are what sms tells (sms.Observer).
// The log has the last two.
func (m *metrics) QuotaRefused(e sms.QuotaRefused) {
	m.quotas.WithLabelValues(e.Scope, e.Window).Inc()
}

func (m *metrics) BudgetStep(sms.BudgetStep)     {}
func (m *metrics) ScopeChanged(sms.ScopeChanged) {}

func (m *metrics) CheckDone(e sms.CheckDone) { m.checks.WithLabelValues(e.Result).Inc() }

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
