// Package redis connects to Redis: one server, a cluster, or one watched by
// sentinels, and names its keys.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 3 * time.Second
	poolTimeout = 4 * time.Second
	// maxRetries is low on purpose: when Redis is away, callers decide what to
	// do without it, and a crowd of clients must not hammer it as it returns.
	maxRetries      = 1
	minRetryBackoff = 10 * time.Millisecond
	maxRetryBackoff = 200 * time.Millisecond
	// openWait is how long Open waits for a server that is still starting.
	openWait = 15 * time.Second
)

// New returns a client of the server at url; nothing is asked of it yet. The
// caller closes it. The url is one of
//
//	redis://user:password@host:6379/0               one server; rediss:// with TLS
//	redis+cluster://host:6379,host:6379             a cluster; rediss+cluster:// with TLS
//	redis://host:6379,redis://host:6379             a cluster, too
//	redis+sentinel://host:26379,host:26379/0?master_name=mymaster
func New(url string) (goredis.UniversalClient, error) {
	c, err := newClient(url)
	if err != nil {
		return nil, fmt.Errorf("parse redis url: %w", err)
	}
	return c, nil
}

// Open is New for a server that has answered once. It waits for a server that is
// starting until ctx ends or 15 s have passed.
func Open(ctx context.Context, url string) (goredis.UniversalClient, error) {
	c, err := New(url)
	if err != nil {
		return nil, err
	}
	if err := waitReady(ctx, c); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("reach redis: %w", err)
	}
	return c, nil
}

// Key joins the parts of a key: service, kind of thing, and what tells one thing
// from another, as in Key("gateway", "rate", "{"+tenant+"}"). In a cluster, keys
// that are used together share what is in braces.
func Key(parts ...string) string { return strings.Join(parts, ":") }

func newClient(raw string) (goredis.UniversalClient, error) {
	first, rest, err := split(raw)
	if err != nil {
		return nil, err
	}
	base, kind, _ := strings.Cut(first.Scheme, "+")
	first.Scheme = base
	switch {
	case kind == "sentinel":
		return newFailover(first, rest)
	case kind == "cluster" || kind == "" && len(rest) > 0:
		return newCluster(first, rest)
	case kind != "":
		return nil, fmt.Errorf("unknown kind of redis %q", kind)
	}
	o, err := goredis.ParseURL(first.String())
	if err != nil {
		return nil, err
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, ioTimeout, ioTimeout, poolTimeout
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = maxRetries, minRetryBackoff, maxRetryBackoff
	o.ContextTimeoutEnabled = true
	o.MaintNotificationsConfig = noMaintenance()
	return goredis.NewClient(o), nil
}

func newCluster(first *url.URL, rest []string) (goredis.UniversalClient, error) {
	o, err := goredis.ParseClusterURL(withAddrs(first, rest))
	if err != nil {
		return nil, err
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, ioTimeout, ioTimeout, poolTimeout
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = maxRetries, minRetryBackoff, maxRetryBackoff
	o.ContextTimeoutEnabled = true
	o.MaintNotificationsConfig = noMaintenance()
	return goredis.NewClusterClient(o), nil
}

func newFailover(first *url.URL, rest []string) (goredis.UniversalClient, error) {
	if first.Query().Get("master_name") == "" {
		return nil, errors.New("redis+sentinel needs ?master_name=")
	}
	o, err := goredis.ParseFailoverURL(withAddrs(first, rest))
	if err != nil {
		return nil, err
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, ioTimeout, ioTimeout, poolTimeout
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = maxRetries, minRetryBackoff, maxRetryBackoff
	o.ContextTimeoutEnabled = true
	if o.Username == "" && o.Password == "" { // else given as ?username=&password=
		o.Username, o.Password = o.SentinelUsername, o.SentinelPassword
	}
	return goredis.NewFailoverClient(o), nil
}

// noMaintenance leaves out a handshake that only one vendor's servers answer.
func noMaintenance() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// split takes "scheme://userinfo@a,b,scheme://c/path" apart: the first URL, with
// path and query of the last one, and the addresses of the others.
func split(raw string) (first *url.URL, rest []string, err error) {
	parts := strings.Split(raw, ",")
	head, last := parts[0], parts[len(parts)-1]
	if len(parts) > 1 {
		// Path and query stand behind the last address.
		if i := strings.Index(strings.TrimPrefix(last, schemeOf(last)), "/"); i >= 0 {
			i += len(schemeOf(last))
			head, parts[len(parts)-1] = strings.TrimSuffix(head, "/")+last[i:], last[:i]
		}
	}
	if first, err = url.Parse(head); err != nil {
		return nil, nil, errors.New("malformed url") // the cause would show the password
	}
	if first.Scheme == "" || first.Host == "" && first.Path == "" {
		return nil, nil, errors.New("want scheme://host:port")
	}
	for _, p := range parts[1:] {
		p = strings.TrimPrefix(p, schemeOf(p))
		if i := strings.LastIndex(p, "@"); i >= 0 {
			p = p[i+1:]
		}
		if p == "" {
			return nil, nil, errors.New("empty address")
		}
		rest = append(rest, p)
	}
	return first, rest, nil
}

func schemeOf(s string) string {
	if i := strings.Index(s, "://"); i >= 0 {
		return s[:i+len("://")]
	}
	return ""
}

func withAddrs(first *url.URL, rest []string) string {
	u := *first
	q := u.Query()
	for _, addr := range rest {
		q.Add("addr", addr)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func waitReady(ctx context.Context, c goredis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	var last error
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := c.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		if !errors.Is(err, context.DeadlineExceeded) || last == nil {
			last = err
		}
		// The server is there and says no: a wrong password, no permission.
		var said goredis.Error
		if errors.As(err, &said) && !strings.HasPrefix(err.Error(), "LOADING") && !strings.HasPrefix(err.Error(), "CLUSTERDOWN") {
			return err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(wait):
		}
	}
}
