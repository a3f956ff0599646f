package redis

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"
)

func TestNewClient_ReadsEveryKindOfURL(t *testing.T) {
	t.Parallel()
	type got struct {
		Kind   string
		Addrs  []string
		User   string
		DB     int
		TLS    bool
		Master string
	}
	for raw, want := range map[string]got{
		"redis://u:p@h:6379/3":                            {Kind: "single", Addrs: []string{"h:6379"}, User: "u", DB: 3},
		"rediss://h:6379":                                 {Kind: "single", Addrs: []string{"h:6379"}, TLS: true},
		"unix:///run/redis.sock":                          {Kind: "single", Addrs: []string{"/run/redis.sock"}},
		"redis+cluster://u:p@a:1,b:2,c:3":                 {Kind: "cluster", Addrs: []string{"a:1", "b:2", "c:3"}, User: "u"},
		"rediss+cluster://a:1":                            {Kind: "cluster", Addrs: []string{"a:1"}, TLS: true},
		"redis://a:1,redis://u:p@b:2":                     {Kind: "cluster", Addrs: []string{"a:1", "b:2"}},
		"redis+sentinel://u:p@a:1,b:2/4?master_name=main": {Kind: "failover", Addrs: []string{"FailoverClient"}, User: "u", DB: 4},
		"redis+sentinel://a:26379?master_name=main&db=2":  {Kind: "failover", Addrs: []string{"FailoverClient"}, DB: 2},
	} {
		c, err := newClient(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		defer func() { _ = c.Close() }()
		var g got
		switch c := c.(type) {
		case *goredis.ClusterClient:
			o := c.Options()
			g = got{Kind: "cluster", Addrs: o.Addrs, User: o.Username, TLS: o.TLSConfig != nil}
		case *goredis.Client:
			o := c.Options()
			g = got{Kind: "single", Addrs: []string{o.Addr}, User: o.Username, DB: o.DB, TLS: o.TLSConfig != nil}
			if o.Addr == "FailoverClient" {
				g.Kind = "failover"
			}
			if o.MaxRetries != maxRetries || o.ReadTimeout != ioTimeout {
				t.Errorf("%s: retries %d, read timeout %v", raw, o.MaxRetries, o.ReadTimeout)
			}
		}
		if d := cmp.Diff(want, g); d != "" {
			t.Errorf("%s: %s", raw, d)
		}
	}
}

func TestNewClient_RefusesMalformedURLsWithoutShowingPasswords(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "localhost:6379", "http://h:1", "redis+moon://h:1", "redis://:hunter2@h:1/x", "redis://:hunter2@h:%zz",
		"redis+sentinel://:hunter2@a:1,b:2", "redis://a:1,,b:2",
	} {
		if c, err := newClient(raw); err == nil {
			t.Errorf("%q was accepted: %v", raw, c)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the password: %v", raw, err)
		}
	}
}
