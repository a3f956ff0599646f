package redistest_test

import (
	"errors"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func TestNew_EachTestHasItsOwnKeys(t *testing.T) {
	t.Parallel()
	for range 40 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			c := redistest.New(t)
			if n := c.Incr(t.Context(), "mine").Val(); n != 1 {
				t.Errorf("mine = %d at the start, want 1", n)
			}
		})
	}
}

func TestURL_TwoOfOneTestAreTwoDatabases(t *testing.T) {
	t.Parallel()
	if a, b := redistest.URL(t), redistest.URL(t); a == b {
		t.Errorf("both are %s", a)
	}
}

func TestOwnServer_KilledForgetsAndComesBack(t *testing.T) {
	t.Parallel()
	s := redistest.OwnServer(t)
	c := s.Client(t)
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("a killed server answers")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), "k").Err(); !errors.Is(err, goredis.Nil) {
		t.Errorf("err = %v, want the key forgotten", err)
	}
}

func TestOwnDurableServer_KilledRemembers(t *testing.T) {
	t.Parallel()
	s := redistest.OwnDurableServer(t)
	c := s.Client(t)
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Get(t.Context(), "k").Val(); got != "v" {
		t.Errorf("k = %q after the restart", got)
	}
}
