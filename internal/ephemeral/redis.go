package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is a Store on a Redis server (6.2 or later, or what speaks like one),
// on one that Sentinel watches, or on a cluster. OpenRedis makes one.
//
// Every operation is one script on keys of one hash slot, and is sent once: a
// script whose answer did not arrive may have run, so it is never repeated.
// The server's clock expires keys; limits go by this process's clock, like SQL's.
type Redis struct {
	client redis.UniversalClient
	prefix string
	now    func() time.Time
	trips  atomic.Int64
}

// Options changes how OpenRedis opens.
type Options struct {
	Prefix string // in front of every key, without braces; "dialtone:" if empty
}

// Short, because SQL stands by: waiting for a Redis that hangs costs more than
// asking the other store.
const (
	redisDialTimeout = 200 * time.Millisecond
	redisTimeout     = 250 * time.Millisecond // to write, to read, and for a free connection
)

// OpenRedis prepares a client for a URL of one of these forms, each with an s
// after "redis" for TLS:
//
//	redis://[user:password@]host[:port][/database]
//	redis-sentinel://[user:password@]host[:port],.../master[/database]
//	redis-cluster://[user:password@]host[:port],...
//
// The parameter pool_size bounds the connections to one server; timeout bounds
// each wait for it (without it 200 ms to connect and 250 ms for anything else);
// sentinel_username and sentinel_password are for Sentinel itself. Nothing is
// sent yet, so a Redis that is away is no error here.
func OpenRedis(url string, o Options) (*Redis, error) {
	if o.Prefix == "" {
		o.Prefix = "dialtone:"
	}
	if strings.ContainsAny(o.Prefix, "{}") {
		return nil, errors.New("open Redis: the key prefix must not contain braces")
	}
	u, err := parseRedisURL(url)
	if err != nil {
		return nil, fmt.Errorf("open Redis: %w", err)
	}
	u.DialerRetries, u.MaxRetries = 1, -1
	u.ContextTimeoutEnabled = true
	u.Protocol = 2 // no pushes, none of the handshakes they bring
	u.DisableIdentity = true
	u.ReadBufferSize, u.WriteBufferSize = 4096, 4096
	quietDriver.Do(func() { redis.SetLogger(driverLog{}) })
	return &Redis{client: redis.NewUniversalClient(u), prefix: o.Prefix, now: time.Now}, nil
}

// go-redis has one logger for the whole process, and this package is its only
// user. It would print a line for every probe of a Redis that is away.
var quietDriver sync.Once

type driverLog struct{}

// Printf is called by go-redis.
func (driverLog) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, args...))
}

// Close closes every connection.
func (r *Redis) Close() error { return r.client.Close() }

// RoundTrips counts commands and scripts.
func (r *Redis) RoundTrips() int64 { return r.trips.Load() }

// Ping writes a key, because a replica and a full server answer PING as well.
// Of a cluster every master has to answer.
func (r *Redis) Ping(ctx context.Context) error {
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		// This also learns where the slots are now.
		err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
			r.trips.Add(1)
			return master.Ping(ctx).Err()
		})
		if err != nil {
			return redisError("ping cluster", err)
		}
	}
	r.trips.Add(1)
	if err := r.client.Set(ctx, r.prefix+"ping", "", time.Second).Err(); err != nil {
		return redisError("ping", err)
	}
	return nil
}

// warnings are settings of the server that weaken what this package promises.
func (r *Redis) warnings(ctx context.Context) []string {
	var found []string
	// INFO tells the policy to users who may not CONFIG GET.
	r.trips.Add(2)
	if info, err := r.client.Info(ctx, "memory").Result(); err == nil {
		_, policy, known := strings.Cut(info, "maxmemory_policy:")
		policy, _, _ = strings.Cut(policy, "\r\n")
		if known && policy != "noeviction" {
			found = append(found, "maxmemory-policy is "+policy+"; with anything but noeviction a full Redis forgets limits and items")
		}
	}
	if info, err := r.client.Info(ctx, "server").Result(); redis.HasErrorPrefix(err, "NOPERM") ||
		err == nil && !strings.Contains(info, "run_id:") {
		found = append(found, "INFO does not tell the run id; a Redis that restarts from a snapshot could offer taken items again")
	}
	return found
}

// once is a command that go-redis must not send again, on a cluster neither.
type once struct{ *redis.Cmd }

// NoRetry is asked by go-redis.
func (once) NoRetry() bool { return true }

// run runs a script. Its keys must be in one hash slot. Where the script
// answers nil the result is nil.
func (r *Redis) run(ctx context.Context, s script, keys []string, args ...any) (any, error) {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, "evalsha", s.hash, len(keys))
	for _, k := range keys {
		words = append(words, k)
	}
	words = append(words, args...)

	r.trips.Add(1)
	result, err := r.send(ctx, words)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // a server that has not seen it yet
		words[0], words[1] = "eval", s.text
		r.trips.Add(1)
		result, err = r.send(ctx, words)
	}
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, redisError(s.name, err)
	}
	return result, nil
}

func (r *Redis) send(ctx context.Context, words []any) (any, error) {
	cmd := once{redis.NewCmd(ctx, words...)}
	cmd.SetFirstKeyPos(3)
	_ = r.client.Process(ctx, cmd)
	return cmd.Result()
}

// redisError: whatever Redis says instead of an answer, it cannot serve now.
func redisError(tried string, err error) error {
	return fmt.Errorf("%w: redis: %s: %w", ErrUnavailable, tried, err)
}

// errReply is an answer that no script of ours gives.
func errReply(s script, reply any) error {
	return redisError(s.name, fmt.Errorf("unexpected reply of type %T", reply))
}
