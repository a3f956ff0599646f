package events

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// delivery is one entry of a stream in the hands of this replica.
type delivery struct {
	topic string
	msg   redis.XMessage
	try   int // this one's number, from 1; kept by Redis, so that it outlives a crash
}

// reader reads some topics and hands the entries to a bounded number of
// handlers. What fails stays in the group's list of pending entries, aged so
// that it counts as abandoned when its back-off is over: any replica takes it up
// then, and none has to remember it.
type reader struct {
	*Consumer
	topics []string
	slots  chan struct{} // one for each running handler

	mu      sync.Mutex
	inHand  map[string]bool // deliveries that a claim must not hand out twice
	sweepAt time.Time       // when to look for abandoned deliveries
	cursors map[string]string
	tidied  time.Time
}

func newReader(c *Consumer, names []string, concurrency int) *reader {
	return &reader{Consumer: c, topics: names, slots: make(chan struct{}, concurrency),
		inHand: map[string]bool{}, cursors: map[string]string{}}
}

func (r *reader) run(ctx context.Context) {
	var handlers sync.WaitGroup
	for wait := minBackoff; ctx.Err() == nil; {
		if err := r.createGroups(ctx); err == nil {
			err = r.readUntilError(ctx, &handlers, func() { wait = minBackoff })
			if ctx.Err() != nil {
				break
			}
			r.log.Warn("reading events", zap.Error(err))
		} else if ctx.Err() == nil {
			r.log.Warn("creating consumer groups", zap.Error(err))
		}
		pause(ctx, wait)
		wait = min(2*wait, maxBackoff)
	}
	handlers.Wait()
	r.leave(ctx)
}

// createGroups makes the groups that are missing, and the streams. They start at
// the beginning: a new service sees what is still there, and after Redis has
// lost its data nothing is skipped.
func (r *reader) createGroups(ctx context.Context) error {
	for _, name := range r.topics {
		err := r.rdb.XGroupCreateMkStream(ctx, streamKey(name), r.service, "0").Err()
		if err != nil && !redis.HasErrorPrefix(err, "BUSYGROUP") {
			return err
		}
	}
	return nil
}

func (r *reader) readUntilError(ctx context.Context, handlers *sync.WaitGroup, ok func()) error {
	for ctx.Err() == nil {
		batch, err := r.next(ctx)
		if err != nil {
			return err
		}
		ok()
		if r.batches != nil {
			r.startBatches(ctx, handlers, batch)
			continue
		}
		for _, d := range batch {
			r.start(ctx, handlers, d)
		}
	}
	return nil
}

// start handles a delivery as soon as there is a slot, or hands it back if the
// consumer stops before.
func (r *reader) start(ctx context.Context, handlers *sync.WaitGroup, d delivery) {
	if !r.slot(ctx) {
		r.handBack(ctx, d, d.try-1, 0)
		r.done(d)
		return
	}
	handlers.Go(func() {
		defer func() { r.done(d); <-r.slots }()
		r.handle(ctx, d)
	})
}

// slot waits for one and reports whether it has it. When a stop comes at the same
// time, the stop wins.
func (r *reader) slot(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case r.slots <- struct{}{}:
	}
	if ctx.Err() != nil {
		<-r.slots
		return false
	}
	return true
}

// next returns abandoned deliveries if it is time to look for them, or else new
// ones. It waits for a free slot first, so that what is read is soon handled.
func (r *reader) next(ctx context.Context) ([]delivery, error) {
	if !r.slot(ctx) {
		return nil, nil
	}
	<-r.slots
	free := int64(cap(r.slots) - len(r.slots))
	if r.batches != nil {
		free = int64(r.batches.Size)
	}
	untilSweep := r.untilSweep()
	if untilSweep <= 0 {
		if list, err := r.claim(ctx, free); err != nil || len(list) > 0 {
			return list, err
		}
		untilSweep = r.untilSweep()
	}
	args := &redis.XReadGroupArgs{
		Group: r.service, Consumer: r.name, Count: free,
		Block: max(minBlock, min(blockFor, untilSweep)),
	}
	for _, name := range r.topics {
		args.Streams = append(args.Streams, streamKey(name))
	}
	for range r.topics {
		args.Streams = append(args.Streams, ">")
	}
	// Not ended by ctx: what Redis has handed out would lie there until claimed.
	res, err := r.rdb.XReadGroup(context.WithoutCancel(ctx), args).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []delivery
	for i, s := range res {
		name := r.topicOf(s.Stream, i)
		for _, msg := range s.Messages {
			list = append(list, delivery{topic: name, msg: msg, try: 1})
		}
	}
	return r.take(list), nil
}

func (r *reader) topicOf(key string, fallback int) string {
	for _, name := range r.topics {
		if streamKey(name) == key {
			return name
		}
	}
	return r.topics[fallback] // cannot happen: Redis answers with the keys it was asked for
}

func (r *reader) untilSweep() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.sweepAt)
}

// claim takes over deliveries that count as abandoned: those of replicas that
// died, and those whose back-off is over.
func (r *reader) claim(ctx context.Context, free int64) ([]delivery, error) {
	r.mu.Lock()
	r.sweepAt = time.Now().Add(r.o.ClaimAfter / 12)
	r.mu.Unlock()
	r.tidy(ctx)
	var list []delivery
	for _, name := range r.topics {
		msgs, next, err := r.rdb.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: streamKey(name), Group: r.service, Consumer: r.name,
			MinIdle: r.o.ClaimAfter, Start: r.cursor(name), Count: free,
		}).Result()
		if err != nil {
			return nil, err
		}
		r.cursors[name] = next
		if next != "0-0" {
			r.sweepIn(0) // there may be more
		}
		for _, msg := range msgs {
			list = append(list, delivery{topic: name, msg: msg})
		}
	}
	if err := r.countTries(ctx, list); err != nil {
		return nil, err
	}
	return r.take(list), nil
}

func (r *reader) cursor(name string) string {
	if c := r.cursors[name]; c != "" {
		return c
	}
	return "0-0"
}

// countTries asks Redis how often each claimed entry has been delivered.
func (r *reader) countTries(ctx context.Context, list []delivery) error {
	if len(list) == 0 {
		return nil
	}
	pipe := r.rdb.Pipeline()
	answers := make([]*redis.XPendingExtCmd, len(list))
	for i, d := range list {
		answers[i] = pipe.XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: streamKey(d.topic), Group: r.service, Start: d.msg.ID, End: d.msg.ID, Count: 1})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i, a := range answers {
		list[i].try = 1
		if rows := a.Val(); len(rows) > 0 {
			list[i].try = max(1, int(rows[0].RetryCount))
		}
	}
	return nil
}

// sweepIn makes the next sweep happen in d at the latest.
func (r *reader) sweepIn(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := time.Now().Add(d); at.Before(r.sweepAt) {
		r.sweepAt = at
	}
}

// take returns the deliveries that are not in hand already, and marks them.
func (r *reader) take(list []delivery) []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := list[:0]
	for _, d := range list {
		if key := d.topic + d.msg.ID; !r.inHand[key] {
			r.inHand[key] = true
			taken = append(taken, d)
		}
	}
	return taken
}

func (r *reader) done(d delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inHand, d.topic+d.msg.ID)
}

// handBack puts a delivery back among the pending ones, to be claimed after d,
// with the number of tries it has had.
func (r *reader) handBack(ctx context.Context, d delivery, tries int, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	idle := max(0, r.o.ClaimAfter-after)
	err := r.rdb.Do(ctx, "XCLAIM", streamKey(d.topic), r.service, r.name, 0, d.msg.ID,
		"IDLE", idle.Milliseconds(), "RETRYCOUNT", tries, "JUSTID").Err()
	if err != nil {
		// It stays pending as it is and is claimed when it is old enough.
		r.log.Warn("delivery was not handed back", zap.String("topic", d.topic), zap.Error(err))
	}
	r.sweepIn(min(after, r.o.ClaimAfter) + time.Millisecond)
}

// tidy deletes the names of replicas that are long gone and left nothing.
func (r *reader) tidy(ctx context.Context) {
	if time.Since(r.tidied) < time.Hour {
		return
	}
	r.tidied = time.Now()
	for _, name := range r.topics {
		list, err := r.rdb.XInfoConsumers(ctx, streamKey(name), r.service).Result()
		if err != nil {
			return // the reads say so, too
		}
		for _, other := range list {
			if other.Pending == 0 && other.Idle > idleConsumer && other.Name != r.name {
				_ = r.rdb.XGroupDelConsumer(ctx, streamKey(name), r.service, other.Name).Err() // the next hour, then
			}
		}
	}
}

// leave deletes this replica's name from the groups where it left nothing.
func (r *reader) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, name := range r.topics {
		left, err := r.rdb.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: streamKey(name), Group: r.service,
			Start: "-", End: "+", Count: 1, Consumer: r.name}).Result()
		if err != nil {
			return // another replica tidies up
		}
		if len(left) == 0 {
			_ = r.rdb.XGroupDelConsumer(ctx, streamKey(name), r.service, r.name).Err() // likewise
		}
	}
}
