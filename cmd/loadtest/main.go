// Command loadtest drives a running Dialtone and reports throughput and latency:
// complete SMS sign-ins with code exchange, refresh, client credentials,
// introspection and userinfo. It works in closed loop: each connection sends its
// next request when the last one is answered.
//
//	loadtest config > load.yaml           # the server's side: clients, webhook, raised limits
//	dialtone serve --dev --config load.yaml
//	loadtest run                          # every scenario, 32 connections, 10 s each
//
// The codes arrive at a webhook that loadtest itself listens on, so a sign-in is
// complete: nothing is read from the server's log or database, no test number is
// used, and every number is new.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

// options are the flags of both verbs.
type options struct {
	issuer      string
	sink        string
	scenarios   string
	connections int
	duration    time.Duration
	warmup      time.Duration
	json        bool
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: loadtest config|run [flags]")
	}
	var o options
	fs := flag.NewFlagSet("loadtest "+args[0], flag.ContinueOnError)
	fs.StringVar(&o.issuer, "issuer", "http://localhost:8080", "the issuer; also where requests go")
	fs.StringVar(&o.sink, "sink", "127.0.0.1:9099", "address of the webhook that receives the codes")
	fs.StringVar(&o.scenarios, "scenario", "all", "comma-separated: "+strings.Join(scenarioNames(), ", ")+", or all")
	fs.IntVar(&o.connections, "c", 32, "connections")
	fs.DurationVar(&o.duration, "d", 10*time.Second, "measured time of each scenario")
	fs.DurationVar(&o.warmup, "warmup", 2*time.Second, "time before measuring")
	fs.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "config":
		_, err := fmt.Print(serverConfig(o))
		return err
	case "run":
		return drive(ctx, o)
	}
	return fmt.Errorf("unknown verb %q: config or run", args[0])
}

// serverConfig is the server's configuration for a run. The limits that protect
// money are raised, never the per-number ones.
func serverConfig(o options) string {
	return fmt.Sprintf(`# The server's side of a load test; start it with: dialtone serve --dev --config FILE
issuer: %[1]s
sms:
  routes: {CN: [sink], "*": [sink]}
  providers:
    sink: {type: webhook, url: "http://%[2]s/sms", secret: %[3]s}
  limits:
    per_address_numbers_10m: 100000000
    per_address_hour: 100000000
    per_address_day: 100000000
    per_client_hour: 100000000
    per_client_day: 100000000
    per_prefix_10m: 100000000
    per_prefix_hour: 100000000
    consecutive: 128
    service_per_second: 1000000
    service_per_day: 1000000000
clients:
  - {client_id: %[4]s, token_endpoint_auth_method: none, first_party: true, skip_agreement: true,
     redirect_uris: ["%[7]s"], grant_types: [authorization_code, refresh_token], scope: "openid phone offline_access"}
  - {client_id: %[5]s, token_endpoint_auth_method: none, first_party: true, skip_agreement: true, id_token_signed_response_alg: ES256,
     redirect_uris: ["%[7]s"], grant_types: [authorization_code, refresh_token], scope: "openid phone offline_access"}
  - {client_id: %[6]s, client_secret: %[3]s, token_endpoint_auth_method: client_secret_basic, first_party: true,
     grant_types: [client_credentials], scope: "read"}
`, o.issuer, o.sink, secret, clientRS256, clientES256, clientMachine, redirectURI)
}

// What both sides agree on. The secret guards a server that exists for the length
// of a load test on one machine.
const (
	clientRS256   = "load-rs256"
	clientES256   = "load-es256"
	clientMachine = "load-machine"
	redirectURI   = "http://127.0.0.1/callback"
	secret        = "load-test-secret-of-this-machine-only"
)
