// Package events carries what happened from the service that did it to the
// services that care, without loss and with one effect each.
//
// A producer calls Emit inside the transaction that makes the change. A Relay
// puts the rows of the outbox on Redis streams. A Consumer reads the streams and
// runs each handler in a transaction together with an inbox row of the event's
// id, so that a second delivery changes nothing.
//
// Delivery is at least once and not ordered: a handler that keeps a copy of
// something compares Event.Version and drops what is older.
package events

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
)

const specVersion = "1.0"

// Shards is the number of Redis streams behind each stream of events; the tenant
// decides which one. Consumers read all of them, so it may grow.
const Shards = 4

// Event is a CloudEvents 1.0 envelope in its JSON form.
type Event struct {
	SpecVersion   string          `json:"specversion"`
	ID            string          `json:"id"` // UUIDv7
	Source        string          `json:"source"`
	Type          string          `json:"type"`
	Subject       string          `json:"subject,omitempty"`
	Time          time.Time       `json:"time"`
	TenantID      id.TenantID     `json:"tenantid,omitzero"`
	Version       int64           `json:"version,omitzero"` // of the subject
	Traceparent   string          `json:"traceparent,omitempty"`
	origin.Origin                 // of the request that caused it; extension attributes
	Data          json.RawMessage `json:"data"`

	// Stream is where the event travels; it is no part of the envelope.
	Stream string `json:"-"`
}

// Type declares a kind of event, beside the Ops of the service that says it.
type Type[D any] struct {
	Name   string // com.pyairtable.user.registered.v1: past tense, versioned
	Source string // /auth-service
	Stream string // the domain: users
}

// New returns an event of the type about subject, which belongs to tenant and is
// at version now. It takes trace and origin from ctx. D must be renderable as JSON; one
// that is not is a programming error, and New panics.
func (t Type[D]) New(ctx context.Context, tenant id.TenantID, subject string, version int64, data D) Event {
	b, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("events: data of %s: %v", t.Name, err))
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return Event{
		SpecVersion: specVersion,
		ID:          id.New[id.Event]().String(),
		Source:      t.Source,
		Type:        t.Name,
		Subject:     subject,
		Time:        time.Now().UTC().Truncate(time.Microsecond),
		TenantID:    tenant,
		Version:     version,
		Traceparent: carrier["traceparent"],
		Origin:      origin.From(ctx),
		Data:        b,
		Stream:      t.Stream,
	}
}

// Decode returns the data of an event of this type. Fields that D does not know
// are ignored: a producer may add some.
func (t Type[D]) Decode(e Event) (D, error) {
	var d D
	if e.Type != t.Name {
		return d, fmt.Errorf("decode event: type is %q, want %q", e.Type, t.Name)
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return d, fmt.Errorf("decode data of %s %s: %w", e.Type, e.ID, err)
	}
	return d, nil
}

// check returns why e cannot travel, or nil.
func (e Event) check() error {
	if _, err := id.Parse[id.Event](e.ID); err != nil {
		return err
	}
	if e.SpecVersion != specVersion || e.Type == "" || e.Source == "" || e.Time.IsZero() {
		return fmt.Errorf("event %s lacks a part of the envelope", e.ID)
	}
	return nil
}

// causeContext returns ctx with the trace and the origin that the event was made in.
func (e Event) causeContext(ctx context.Context) context.Context {
	ctx = origin.Into(ctx, e.Origin)
	if e.Traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": e.Traceparent})
}

// topic names the shard of the stream that holds the tenant's events.
func topic(stream string, tenant id.TenantID) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tenant.String())) // a hash does not fail
	return stream + ":" + strconv.Itoa(int(h.Sum32()%Shards))
}

func topics(stream string) []string {
	names := make([]string, Shards)
	for i := range names {
		names[i] = stream + ":" + strconv.Itoa(i)
	}
	return names
}

// streamOf is the stream that a topic is a shard of.
func streamOf(topic string) string { return topic[:strings.LastIndexByte(topic, ':')] }

// streamKey is the Redis key of a topic. The whole topic is the hash tag, so that
// the shards spread over a cluster and each has its marks beside it.
func streamKey(topic string) string { return "events:{" + topic + "}" }

// markKey holds the last batch that the outbox of one database put on the topic.
func markKey(topic, database string) string { return "events:{" + topic + "}:mark:" + database }

// field is the one field of a stream entry; it holds the envelope.
const field = "e"
