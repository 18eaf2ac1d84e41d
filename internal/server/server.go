// Package server builds Dialtone out of its parts and runs it. New is the whole
// composition in one readable function; nothing is registered, nothing global.
//
//	public listener    pages, OAuth endpoints, JSON for apps      (routes.go)
//	operator listener  /livez, /readyz, /metrics                  (health.go)
//	housekeeping       watches changes, rotates keys, deletes what expired
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/oauth"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/oauth/notice"
	"github.com/dialtone-id/dialtone/internal/oauth/outbound"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// Options are what is not configuration.
type Options struct {
	Dev     bool
	Version string
	Log     *slog.Logger
	Console io.Writer // where the console provider prints messages
}

// Server is a running Dialtone. Serve runs it, Close lets go of everything.
type Server struct {
	core    *Core
	config  config.Config
	version string
	log     *slog.Logger
	secure  bool // the issuer is https
	proxies proxies
	metrics *metrics
	tracer  *sdktrace.TracerProvider // nil unless traces are asked for

	short   *ephemeral.Failover
	notices *notice.Courier
	sms     *sms.Service
	oauth   *oauth.Server
	pages   *user.Pages
	site    *web.Site

	public    http.Handler
	draining  atomic.Bool
	unlock    func()       // of the SQLite file
	closeHome func() error // of short-lived state's own database
}

// New opens everything and starts nothing. It refuses, with the reason and the
// cure, what must not run: see config.Validate, db.CheckSchema, db.LockServer.
func New(ctx context.Context, c config.Config, o Options) (_ *Server, err error) {
	s := &Server{config: c, version: o.Version, log: o.Log, secure: secure(c.Issuer), unlock: func() {}, closeHome: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.proxies, err = parseProxies(c.TrustedProxies); err != nil {
		return nil, err
	}
	if s.core, err = OpenCore(ctx, c, o.Log); err != nil {
		return nil, err
	}
	unlock, err := s.core.DB.LockServer(ctx)
	if err != nil {
		return nil, err
	}
	s.unlock = unlock
	if err := s.core.Clients.Sync(ctx, staticClients(c)); err != nil {
		return nil, fmt.Errorf("clients of the configuration: %w", err)
	}
	if s.short, s.closeHome, err = openEphemeral(ctx, c, s.core.DB, o.Log); err != nil {
		return nil, fmt.Errorf("open short-lived state: %w", err)
	}
	s.core.Users = s.core.Users.With(user.Limits(s.short))
	s.metrics = newMetrics(o.Version)
	s.metrics.watch(s.core.DB, s.core.Ring, s.degraded)
	s.core.Audit.Observe(s.metrics.recorded)
	if s.tracer, err = startTracing(ctx); err != nil {
		return nil, err
	}
	if s.site, err = web.New(web.Options{
		ServiceName: c.ServiceName, SupportContact: c.SupportContact, TermsURL: c.Legal.TermsURL, PrivacyURL: c.Legal.PrivacyURL,
		ICP: c.Legal.ICP, PSB: c.Legal.PSB, Secure: s.secure,
	}); err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	sender, err := smsConfig(c, o.Console, o.Log)
	if err != nil {
		return nil, err
	}
	sender.Observer = s.metrics
	if s.sms, err = sms.New(sender, s.core.DB, s.short, s.core.Vault, s.core.Audit); err != nil {
		return nil, fmt.Errorf("start the code sender: %w", err)
	}
	tokens, err := engine.New(engine.Config{
		Issuer: c.Issuer, AccessTokenTTL: c.Tokens.Access, IDTokenTTL: c.Tokens.ID, CodeTTL: c.Tokens.Code,
		RefreshIdle: c.Tokens.RefreshIdle, RefreshAbsolute: c.Tokens.RefreshAbsolute, RefreshGrace: c.Tokens.RefreshGrace,
	}, s.core.Ring, s.core.Vault, s.core.Clients, s.core.Grants)
	if err != nil {
		return nil, fmt.Errorf("start the token engine: %w", err)
	}
	human, err := captcha.New(captchaConfig(c, s.metrics, o.Log), s.core.Vault, s.short)
	if err != nil {
		return nil, fmt.Errorf("start the human check: %w", err)
	}
	if c.Passkeys.Enabled {
		if err := s.core.Users.EnablePasskeys(c.Issuer, c.ServiceName, s.short, c.Passkeys.AndroidOrigins...); err != nil {
			return nil, fmt.Errorf("enable passkeys: %w", err)
		}
	}
	flows := user.NewFlows(s.core.Vault, s.secure)
	if s.oauth, err = oauth.New(oauth.Config{
		Issuer: c.Issuer, Engine: tokens, Clients: s.core.Clients, Grants: s.core.Grants, Users: s.core.Users, Flows: flows,
		SMS: s.sms, Captcha: human, TellTaken: c.Accounts.TellTaken, Ring: s.core.Ring, Site: s.site, Audit: s.core.Audit, DB: s.core.DB, Vault: s.core.Vault, Ephemeral: s.short,
		Observer: s.metrics, Log: o.Log,
	}); err != nil {
		return nil, fmt.Errorf("start the authorization server: %w", err)
	}
	fetch, err := outbound.New(outbound.Config{
		TrustedCAFile: c.Outbound.TrustedCAFile, AllowHosts: c.Outbound.AllowHosts, AllowNetworks: c.Outbound.AllowNetworks,
	})
	if err != nil {
		return nil, err
	}
	s.notices = &notice.Courier{
		Outbox: notice.NewOutbox(s.core.DB, s.core.Vault, s.core.Clients), Ring: s.core.Ring, Issuer: c.Issuer, HTTP: fetch, Log: o.Log,
	}
	s.pages = &user.Pages{
		Users: s.core.Users, SMS: s.sms, Captcha: human, Proofs: s.core.Users.WaitingProofs(), Site: s.site, Flows: flows,
		Next: s.oauth, Ephemeral: s.short,
		Issuer: c.Issuer, AgreementVersion: c.Legal.Version, OfferPasskeys: c.Passkeys.Offer, AccessLife: c.Tokens.Access, Log: o.Log,
	}
	s.public = s.routes(o.Dev)
	return s, nil
}

// Handler is everything the public listener answers.
func (s *Server) Handler() http.Handler { return s.public }

// Serve answers on the configured addresses until ctx ends, then drains: it turns
// unready, lets requests finish within the grace, and stops its own work. started
// is called with the public address once requests are answered.
func (s *Server) Serve(ctx context.Context, started func(public net.Addr)) error {
	public, err := listen(ctx, s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	servers := []*http.Server{s.httpServer(s.public)}
	listeners := []net.Listener{public}
	if s.config.TLS.CertFile != "" {
		cert, err := loadCertificate(s.config.TLS.CertFile, s.config.TLS.KeyFile, s.log)
		if err != nil {
			return errors.Join(err, public.Close())
		}
		servers[0].TLSConfig = tlsConfig(cert)
		listeners[0] = tls.NewListener(public, servers[0].TLSConfig)
	}
	if s.config.OperatorListen != "" {
		l, err := listen(ctx, s.config.OperatorListen)
		if err != nil {
			return errors.Join(fmt.Errorf("operator listener: %w", err), public.Close())
		}
		servers, listeners = append(servers, s.httpServer(s.operator())), append(listeners, l)
	}

	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	var wait sync.WaitGroup
	wait.Go(func() { s.housekeep(work) })
	failed := make(chan error, len(servers))
	for i, srv := range servers {
		go func() { failed <- srv.Serve(listeners[i]) }()
	}
	if started != nil {
		started(public.Addr())
	}
	debug.FreeOSMemory() // what start-up needed and serving does not
	releaseProgram()

	var result error
	select {
	case <-ctx.Done():
		s.drain(servers)
	case result = <-failed:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.ShutdownGrace)
	defer cancel()
	for _, srv := range servers {
		if err := srv.Shutdown(grace); err != nil {
			result = errors.Join(result, fmt.Errorf("drain: %w", err), srv.Close())
		}
	}
	stopWork()
	wait.Wait()
	return result
}

// unreadyFirst is how long a replica that is about to stop goes on serving while
// /readyz says so, for proxies to send requests elsewhere.
const unreadyFirst = 3 * time.Second

// drain turns unready and lets connections end with their next answer.
func (s *Server) drain(servers []*http.Server) {
	s.draining.Store(true)
	if s.config.Dev {
		return // nobody balances load over a developer's server
	}
	for _, srv := range servers {
		srv.SetKeepAlivesEnabled(false)
	}
	time.Sleep(min(unreadyFirst, s.config.ShutdownGrace/2))
}

// Close lets messages under way settle and lets go of the stores.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var errs []error
	if s.sms != nil {
		errs = append(errs, s.sms.Close(ctx))
	}
	if s.tracer != nil {
		errs = append(errs, s.tracer.Shutdown(ctx))
	}
	if s.short != nil {
		errs = append(errs, s.short.Close())
	}
	errs = append(errs, s.closeHome())
	s.unlock()
	if s.core != nil {
		errs = append(errs, s.core.Close())
	}
	return errors.Join(errs...)
}

// httpServer has limits on everything a slow or hostile peer may stretch.
func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
}

// secure says whether cookies may be marked Secure.
func secure(issuer string) bool { return strings.HasPrefix(issuer, "https://") }

// degraded says whether Redis is configured but away.
func (s *Server) degraded() bool { return s.short.Degraded() }

// Spent is what this server has asked of its stores so far: the design's cost
// budget is held by a test that counts here. The watch for changes is not in it.
func (s *Server) Spent() (sql db.Counters, roundTrips int64) {
	return s.core.DB.Counters(), s.short.RoundTrips()
}
