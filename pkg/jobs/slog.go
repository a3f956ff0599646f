package jobs

import (
	"context"
	"log/slog"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// slogHandler writes River's log through the service's zap logger.
type slogHandler struct {
	log    *zap.Logger
	prefix string // of the open groups, with a dot at the end
}

func newSlogHandler(log *zap.Logger) slog.Handler { return slogHandler{log: log} }

// level keeps River's routine out of the log: its Info tells of every failed
// run, which Client.Run logs itself with the outcome.
func level(l slog.Level) zapcore.Level {
	switch {
	case l >= slog.LevelError:
		return zapcore.ErrorLevel
	case l >= slog.LevelWarn:
		return zapcore.WarnLevel
	}
	return zapcore.DebugLevel
}

func (h slogHandler) Enabled(_ context.Context, l slog.Level) bool {
	return h.log.Core().Enabled(level(l))
}

func (h slogHandler) Handle(_ context.Context, r slog.Record) error {
	entry := h.log.Check(level(r.Level), r.Message)
	if entry == nil {
		return nil
	}
	var fields []zap.Field
	r.Attrs(func(a slog.Attr) bool { fields = h.field(fields, h.prefix, a); return true })
	entry.Write(fields...)
	return nil
}

func (h slogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var fields []zap.Field
	for _, a := range attrs {
		fields = h.field(fields, h.prefix, a)
	}
	return slogHandler{log: h.log.With(slices.Clip(fields)...), prefix: h.prefix}
}

func (h slogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return slogHandler{log: h.log, prefix: h.prefix + name + "."}
}

// field appends an attribute, and the members of a group one by one.
func (h slogHandler) field(fields []zap.Field, prefix string, a slog.Attr) []zap.Field {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
		return fields
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			fields = h.field(fields, prefix, member)
		}
		return fields
	case v.Kind() == slog.KindDuration:
		return append(fields, zap.Duration(prefix+a.Key, v.Duration()))
	}
	return append(fields, zap.Any(prefix+a.Key, v.Any()))
}
