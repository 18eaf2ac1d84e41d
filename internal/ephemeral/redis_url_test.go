package ephemeral

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

func TestRedisURLForms(t *testing.T) {
	type options struct {
		Addrs                    []string
		Username, Password       string
		DB, PoolSize             int
		Timeout                  time.Duration
		Master                   string
		SentinelUser, SentinelPW string
		Cluster, TLS             bool
	}
	for url, want := range map[string]options{
		"redis://localhost":              {Addrs: []string{"localhost:6379"}},
		"redis://127.0.0.1:6390/":        {Addrs: []string{"127.0.0.1:6390"}},
		"redis://:s%40cret@cache:7000/3": {Addrs: []string{"cache:7000"}, Password: "s@cret", DB: 3},
		"rediss://u:p@cache?pool_size=9": {Addrs: []string{"cache:6379"}, Username: "u", Password: "p", TLS: true, PoolSize: 9},
		"redis://[::1]:7000":             {Addrs: []string{"[::1]:7000"}},
		"redis://[::1]":                  {Addrs: []string{"[::1]:6379"}},
		"redis-cluster://a:1,b:2,c":      {Addrs: []string{"a:1", "b:2", "c:6379"}, Cluster: true},
		"rediss-cluster://u:p@only":      {Addrs: []string{"only:6379"}, Username: "u", Password: "p", Cluster: true, TLS: true},
		"redis-sentinel://a,b:5/main":    {Addrs: []string{"a:26379", "b:5"}, Master: "main"},
		"rediss-sentinel://u:p@a:1,b:2/main/4?sentinel_username=su&sentinel_password=sp": {
			Addrs: []string{"a:1", "b:2"}, Username: "u", Password: "p", Master: "main", DB: 4,
			SentinelUser: "su", SentinelPW: "sp", TLS: true,
		},
	} {
		if want.Timeout == 0 {
			want.Timeout = redisTimeout
		}
		o, err := parseRedisURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got := options{
			Addrs: o.Addrs, Username: o.Username, Password: o.Password, DB: o.DB, PoolSize: o.PoolSize, Master: o.MasterName, Timeout: o.ReadTimeout,
			SentinelUser: o.SentinelUsername, SentinelPW: o.SentinelPassword, Cluster: o.IsClusterMode, TLS: o.TLSConfig != nil,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", url, diff)
		}
	}
}

func TestRedisURLChoosesTheClient(t *testing.T) {
	for url, want := range map[string]string{
		"redis://h":                "client",
		"redis-sentinel://h/m":     "client",
		"redis-cluster://h":        "cluster",
		"redis-cluster://h1,h2:70": "cluster",
	} {
		r, err := OpenRedis(url, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := "client"
		if _, ok := r.client.(*redis.ClusterClient); ok {
			got = "cluster"
		}
		if got != want {
			t.Errorf("%s opens a %s", url, got)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBadRedisURLIsRefusedWithoutItsPassword(t *testing.T) {
	for _, url := range []string{
		"", "hunter2", "http://:hunter2@h", "redis:hunter2@h", "redis://:hunter2@", "redis://:hunter2@h:0", "redis://:hunter2@h:99999",
		"redis://:hunter2@h:1:2", "redis://:hunter2@a,b", "redis://:hunter2@h/x", "redis://:hunter2@h/-1", "redis://:hunter2@h/1/2",
		"redis://:hunter2%zz@h", "redis://:hunter2@h?password=hunter2", "redis://:hunter2@h?pool_size=0", "redis://:hunter2@h?timeout=0s", "redis://:hunter2@h?timeout=hunter2",
		"redis-cluster://:hunter2@h/1", "redis-cluster://:hunter2@a,,b", "redis-sentinel://:hunter2@h", "redis-sentinel://:hunter2@h/m/x",
		"redis://:hunter2@h?sentinel_password=hunter2", "rediss-ring://:hunter2@h",
	} {
		r, err := OpenRedis(url, Options{})
		if err == nil {
			t.Errorf("%s is accepted", url)
			r.Close()
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats the password: %v", url, err)
		}
	}
	if _, err := OpenRedis("redis://h", Options{Prefix: "a{b}"}); err == nil {
		t.Error("a prefix with braces is accepted")
	}
}
