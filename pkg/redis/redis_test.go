package redis_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func TestOpen_WaitsForAServerThatStarts(t *testing.T) {
	t.Parallel()
	server := redistest.OwnServer(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	address, opened := server.URL, make(chan error, 1)
	go func() {
		c, err := redis.Open(context.Background(), address)
		if err == nil {
			err = c.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("Open = %v while the server was down", err)
	case <-time.After(100 * time.Millisecond): // long enough to have tried
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestOpen_RefusesWhatWaitingDoesNotCure(t *testing.T) {
	t.Parallel()
	server := redistest.OwnServer(t)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("default", "wrong")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if c, err := redis.Open(ctx, u.String()); err == nil || ctx.Err() != nil {
		t.Errorf("Open with a wrong password = %v, %v; want a refusal at once", c, err)
	}
}

func TestKey_JoinsItsParts(t *testing.T) {
	t.Parallel()
	if got := redis.Key("gateway", "rate", "{t1}"); got != "gateway:rate:{t1}" {
		t.Errorf("Key = %q", got)
	}
}
