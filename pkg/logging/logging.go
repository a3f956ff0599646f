// Package logging makes the services' zap loggers and carries the request's
// logger in its context.
package logging

import (
	"context"
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// New returns a logger that writes one JSON object a line to w, each naming the
// service. Writes to w are serialised.
func New(w io.Writer, service, level string) (*zap.Logger, error) {
	lvl, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.Lock(zapcore.AddSync(w)), lvl)
	return zap.New(core, zap.AddStacktrace(zapcore.DPanicLevel)).With(zap.String("service", service)), nil
}

type key struct{}

// Into returns a context that carries log.
func Into(ctx context.Context, log *zap.Logger) context.Context {
	return context.WithValue(ctx, key{}, log)
}

// From returns the context's logger, or one that discards everything.
func From(ctx context.Context) *zap.Logger {
	if log, ok := ctx.Value(key{}).(*zap.Logger); ok {
		return log
	}
	return zap.NewNop()
}

// With returns a context whose logger adds the fields to every line.
func With(ctx context.Context, fields ...zap.Field) context.Context {
	return Into(ctx, From(ctx).With(fields...))
}
