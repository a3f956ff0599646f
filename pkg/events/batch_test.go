package events_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

func effect(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	for _, e := range list {
		d, err := thingRenamed.Decode(e)
		if err != nil {
			return err
		}
		if d.Name == "poison" {
			return errors.New("this one cannot be applied")
		}
		if _, err := tx.Exec(ctx, `INSERT INTO effects VALUES ($1)`, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// Everything of a stream, each event once, however often it is delivered, and one that
// cannot be applied keeps no other from it.
func TestBatches_ApplyEachEventOnceDespiteDuplicatesAndPoison(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	tenant := id.New[id.Tenant]()
	var list []events.Event
	for i := range 300 {
		list = append(list, thingRenamed.New(t.Context(), tenant, "s", 1, renamed{fmt.Sprint(i)}))
	}
	poison := thingRenamed.New(t.Context(), tenant, "s", 1, renamed{"poison"})
	list = append(list, poison)
	for range 2 {
		if err := events.Send(t.Context(), b.rdb, append(list, list[:20]...)...); err != nil {
			t.Fatal(err)
		}
	}
	c := events.NewConsumer("batcher", b.pool, b.rdb, events.ConsumerOptions{Backoff: func(int) time.Duration { return 0 }})
	c.OnBatches(events.Batches{Streams: []string{"things"}, Size: 50, Apply: effect})
	b.run(c.Run)
	await.True(t, "the poison is given up", func() bool {
		dead, err := c.Dead(t.Context(), 0, 10)
		return err == nil && len(dead) == 1 && dead[0].EventID == poison.ID
	})
	await.True(t, "the others are applied", func() bool {
		var all, names int
		if err := b.pool.QueryRow(t.Context(), `SELECT count(*), count(DISTINCT name) FROM effects`).Scan(&all, &names); err != nil {
			t.Fatal(err)
		}
		if all != names {
			t.Fatalf("%d effects of %d events", all, names)
		}
		return names == 300
	})
}
