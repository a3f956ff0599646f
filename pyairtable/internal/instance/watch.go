package instance

import (
	"context"
	"time"
)

// watchEvery is how soon a private server that died is noticed.
const watchEvery = time.Second

// server is a private PostgreSQL or Redis.
type server interface {
	Alive() bool
	Restart(ctx context.Context) error
}

// guard watches the private servers until Stop.
func (i *Instance) guard(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		i.watch(ctx)
	}()
	i.unwatch = func() {
		cancel()
		<-ended
	}
}

// watch starts private servers again that died, until ctx ends: the services live
// through that, and find them where they were.
func (i *Instance) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if i.Postgres != nil {
			i.revive(ctx, "PostgreSQL", i.Postgres)
		}
		if i.Redis != nil {
			i.revive(ctx, "Redis", i.Redis)
		}
	}
}

func (i *Instance) revive(ctx context.Context, name string, s server) {
	if s.Alive() || ctx.Err() != nil {
		return
	}
	i.say("%s has ended unexpectedly; starting it again", name)
	if err := s.Restart(ctx); err != nil && ctx.Err() == nil {
		i.say("%s does not start: %v; trying again", name, err)
	}
}
