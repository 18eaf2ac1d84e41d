package ephemeral

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

// parseRedisURL reads the forms that OpenRedis documents. Its errors never
// repeat the URL, which may hold passwords.
func parseRedisURL(text string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, errors.New("the URL must begin with redis:// or one of its variants")
	}
	o := redis.UniversalOptions{
		DialTimeout: redisDialTimeout,
		ReadTimeout: redisTimeout, WriteTimeout: redisTimeout, PoolTimeout: redisTimeout,
	}
	port, sentinel := redisPort, false
	switch strings.Replace(scheme, "rediss", "redis", 1) {
	case "redis":
	case "redis-sentinel":
		port, sentinel = sentinelPort, true
	case "redis-cluster":
		o.IsClusterMode = true
	default:
		return nil, fmt.Errorf("the URL scheme %q is not known", scheme)
	}
	if strings.HasPrefix(scheme, "rediss") {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}

	// net/url refuses a list of hosts with ports, so they are cut out first.
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	u, err := url.Parse("redis://" + user + "host" + tail)
	if err != nil {
		return nil, errors.New("the URL cannot be parsed; are the special characters of the password escaped?")
	}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	if o.Addrs, err = parseHosts(hosts, port); err != nil {
		return nil, err
	}
	if len(o.Addrs) > 1 && !sentinel && !o.IsClusterMode {
		return nil, errors.New("several hosts need redis-sentinel:// or redis-cluster://")
	}
	if err := parseRedisPath(&o, strings.Trim(u.Path, "/"), sentinel); err != nil {
		return nil, err
	}
	return &o, parseRedisQuery(&o, u.Query(), sentinel)
}

func parseHosts(list, port string) ([]string, error) {
	var addresses []string
	for host := range strings.SplitSeq(list, ",") {
		h, p, err := net.SplitHostPort(host)
		if err != nil { // no port, or too many
			h, p, err = net.SplitHostPort(host + ":" + port)
		}
		if n, e := strconv.Atoi(p); err != nil || e != nil || h == "" || n < 1 || n > 65535 {
			return nil, errors.New("each host of the URL must be a name or an address, with or without a port")
		}
		addresses = append(addresses, net.JoinHostPort(h, p))
	}
	return addresses, nil
}

// parseRedisPath reads the database, and the master's name in front of it if
// Sentinel is to find it. A cluster has one database only.
func parseRedisPath(o *redis.UniversalOptions, path string, sentinel bool) error {
	if sentinel {
		o.MasterName, path, _ = strings.Cut(path, "/")
		if o.MasterName == "" {
			return errors.New("the path of the URL must name the master that Sentinel watches")
		}
	}
	if path == "" {
		return nil
	}
	n, err := strconv.Atoi(path)
	if err != nil || n < 0 || o.IsClusterMode {
		return errors.New("the path of the URL must be the number of a database, and empty for a cluster")
	}
	o.DB = n
	return nil
}

func parseRedisQuery(o *redis.UniversalOptions, query url.Values, sentinel bool) error {
	for name, values := range query {
		value := values[len(values)-1]
		switch {
		case name == "timeout":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return errors.New("the parameter timeout must be a positive duration, such as 500ms")
			}
			o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = d, d, d, d
		case name == "pool_size":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return errors.New("the parameter pool_size must be a positive number")
			}
			o.PoolSize = n
		case name == "sentinel_username" && sentinel:
			o.SentinelUsername = value
		case name == "sentinel_password" && sentinel:
			o.SentinelPassword = value
		default:
			return fmt.Errorf("the URL parameter %q is not known here", name)
		}
	}
	return nil
}
