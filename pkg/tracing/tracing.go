// Package tracing sets OpenTelemetry up for one service. It is the only package
// that knows the OTLP exporter.
package tracing

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracer makes a service's spans and carries the W3C context.
type Tracer struct {
	trace.Tracer
	Propagator propagation.TextMapPropagator
	enabled    bool
	stop       func(context.Context) error
}

// Start returns the tracer of the named service. With an empty endpoint no span
// is recorded or sent, and the W3C context of a request is still passed on.
func Start(ctx context.Context, service, endpoint string) (*Tracer, error) {
	w3c := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	if endpoint == "" {
		return &Tracer{
			Tracer: noop.NewTracerProvider().Tracer(service), Propagator: w3c,
			stop: func(context.Context) error { return nil },
		}, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimRight(endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("otlp exporter: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
	)
	return &Tracer{Tracer: provider.Tracer(service), Propagator: w3c, enabled: true, stop: provider.Shutdown}, nil
}

// Enabled reports whether spans are recorded.
func (t *Tracer) Enabled() bool { return t.enabled }

// Stop sends what is buffered, until ctx ends.
func (t *Tracer) Stop(ctx context.Context) error { return t.stop(ctx) }
