package localinfra_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/localinfra"
)

func startRedis(t *testing.T, o localinfra.Options) *localinfra.Redis {
	t.Helper()
	r, err := localinfra.StartRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedis_DurableKeepsThroughStopAndKill(t *testing.T) {
	t.Parallel()
	o := localinfra.Options{Dir: t.TempDir(), Profile: localinfra.Durable}
	first, err := localinfra.StartRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if first.InProcess {
		t.Skip("no Redis on this machine")
	}
	if err := redisClient(t, first.URL).Set(t.Context(), "kept", "yes", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := startRedis(t, o)
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := second.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := redisClient(t, second.URL).Get(t.Context(), "kept").Val(); got != "yes" {
		t.Errorf("kept = %q after stop, start, kill and start", got)
	}
}

func TestRedis_WithoutThePasswordNothing(t *testing.T) {
	t.Parallel()
	r := startRedis(t, localinfra.Options{Profile: localinfra.Ephemeral})
	options, err := redis.ParseURL(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.Password = ""
	c := redis.NewClient(options)
	defer c.Close()
	if err := c.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("err = %v, want NOAUTH", err)
	}
}

func TestRedis_EphemeralForgetsInACrashAndComesBackOnItsPort(t *testing.T) {
	t.Parallel()
	r := startRedis(t, localinfra.Options{Profile: localinfra.Ephemeral})
	url := r.URL
	if err := redisClient(t, url).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.URL != url {
		t.Errorf("URL %s, then %s", url, r.URL)
	}
	if err := redisClient(t, url).Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("err = %v, want it forgotten", err)
	}
}

func TestRedis_SecondOneOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	o := localinfra.Options{Dir: t.TempDir(), Profile: localinfra.Durable}
	startRedis(t, o)
	_, err := localinfra.StartRedis(t.Context(), o)
	var problem *localinfra.Problem
	if !errors.As(err, &problem) {
		t.Errorf("err = %v, want a Problem", err)
	}
}
