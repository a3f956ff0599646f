package budget

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/redis"
)

// desk is where the queue of a base is kept: in Redis for all replicas, or in this
// process alone.
type desk interface {
	turn(ctx context.Context, key laneKey, t turn) (ruling, error)
}

// laneKey names a queue: a base as one upstream knows it, and the token that the
// requests carry. One base reached with two tokens is one base.
type laneKey struct {
	origin string // of the upstream
	base   string // or what stands for the calls of a token that are for no base
	token  string // fingerprint
}

// turn is what a replica hands in; the names are the script's.
type turn struct {
	Replica string  `json:"replica"`
	Now     int64   `json:"now"` // ms; 0 is the desk's own clock
	Joins   []join  `json:"joins"`
	Leaves  []leave `json:"leaves"`
	Dones   []done  `json:"dones"`
	terms
}

// terms are the figures that the queue goes by, times in ms.
type terms struct {
	Limit   int   `json:"limit"`   // requests that a window of a base may hold
	Tokens  int   `json:"tokens"`  // the same of a token
	Window  int64 `json:"window"`  // how long an answered request still counts
	Transit int64 `json:"transit"` // how long after it was sent a request has certainly arrived
	Lease   int64 `json:"lease"`   // after which a request of a dead replica has ended
	Most    int   `json:"most"`    // requests that may wait
	Dead    int64 `json:"dead"`    // a replica that is silent for so long gives up its places
	Beat    int64 `json:"beat"`    // how often a replica that waits must be heard
	Yield   int64 `json:"yield"`   // how long to leave a free slot to the replica whose turn it is
	Backoff int64 `json:"backoff"` // pause after a refusal
	Lockout int64 `json:"lockout"` // pause after the try behind that was refused too
	Calm    int64 `json:"calm"`    // after which a lowered rate rises by one
	Relearn int64 `json:"relearn"` // after which the rate that was refused is tried again
}

type join struct {
	ID     string  `json:"id"` // replica/number
	Flow   string  `json:"flow"`
	Weight float64 `json:"weight"`
	Wait   int64   `json:"wait"`  // how long it may wait at the most
	Front  bool    `json:"front"` // it was refused upstream and comes again
}

type leave struct {
	ID     string  `json:"id"`
	Flow   string  `json:"flow"`
	Weight float64 `json:"weight"`
}

// What became of a request that had left the queue.
const (
	unsent   = "unsent"   // it never left this process
	sent     = "sent"     // it has arrived by now; the answer is still out
	answered = "answered" // with anything but a refusal
	refused  = "refused"  // 429
	lost     = "lost"     // no answer came
)

type done struct {
	ID      string `json:"id"`
	Epoch   int64  `json:"epoch"`
	Outcome string `json:"outcome"`
}

// ruling is what a turn gives back.
type ruling struct {
	now     int64
	wait    int64 // until the next turn, if anything waits
	epoch   int64 // rises with every refusal that was news
	limit   int   // the rate as learned
	waiting int   // of all replicas
	known   bool  // false if what the replica had waiting before this turn is forgotten
	granted []string
	refused map[string]int64 // tickets that would wait too long, and how long
}

//go:embed turn.lua
var script string

// redisDesk keeps the queues of all replicas in Redis.
type redisDesk struct {
	rdb    goredis.UniversalClient
	script *goredis.Script
	now    func() int64 // nil: Redis's clock
}

func newRedisDesk(rdb goredis.UniversalClient) *redisDesk {
	return &redisDesk{rdb: rdb, script: goredis.NewScript(script)}
}

// answerLimit is how long Redis may take for a turn.
const answerLimit = time.Second

// turn runs the script. All keys of an upstream have one hash tag: a base's limit
// and a token's are one decision, so a cluster keeps them on one node.
func (d *redisDesk) turn(ctx context.Context, key laneKey, t turn) (ruling, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if d.now != nil {
		t.Now = d.now()
	}
	in, err := json.Marshal(t)
	if err != nil {
		return ruling{}, fmt.Errorf("budget turn: %w", err)
	}
	tag := "{" + key.origin + "}"
	of := func(what string) string { return redis.Key("airtable", "budget", tag, key.base, what) }
	keys := []string{
		redis.Key("airtable", "budget", tag, "born"), of("queue"), of("slots"), of("state"), of("flows"), of("alive"),
		redis.Key("airtable", "budget", tag, "token", key.token),
	}
	out, err := d.script.Run(ctx, d.rdb, keys, in).Slice()
	if err != nil {
		return ruling{}, fmt.Errorf("budget turn: %w", err)
	}
	return readRuling(out)
}

var errMalformed = errors.New("budget turn: malformed answer")

func readRuling(out []any) (ruling, error) {
	if len(out) != 8 {
		return ruling{}, errMalformed
	}
	var n [6]int64
	for i := range n {
		v, ok := out[i].(int64)
		if !ok {
			return ruling{}, errMalformed
		}
		n[i] = v
	}
	r := ruling{now: n[0], wait: n[1], epoch: n[2], limit: int(n[3]), waiting: int(n[4]), known: n[5] == 1, refused: map[string]int64{}}
	granted, ok1 := out[6].([]any)
	refused, ok2 := out[7].([]any)
	if !ok1 || !ok2 || len(refused)%2 != 0 {
		return ruling{}, errMalformed
	}
	for _, g := range granted {
		id, ok := g.(string)
		if !ok {
			return ruling{}, errMalformed
		}
		r.granted = append(r.granted, id)
	}
	for i := 0; i < len(refused); i += 2 {
		id, ok1 := refused[i].(string)
		wait, ok2 := refused[i+1].(int64)
		if !ok1 || !ok2 {
			return ruling{}, errMalformed
		}
		r.refused[id] = wait
	}
	return r, nil
}
