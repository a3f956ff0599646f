package jobs

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestSlogHandler_KeepsAttributesAndGroups(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.InfoLevel)
	log := slog.New(newSlogHandler(zap.New(core)))
	log.Debug("dropped")
	log.Info("routine, dropped too")
	log.With("a", 1).WithGroup("g").With("b", "x").Warn("kept",
		"err", errors.New("no"), slog.Duration("d", time.Second), slog.Group("in", "c", true), slog.Attr{})
	want := map[string]any{"a": int64(1), "g.b": "x", "g.err": "no", "g.d": time.Second, "g.in.c": true}
	all := logs.All()
	if len(all) != 1 || all[0].Level != zapcore.WarnLevel || all[0].Message != "kept" {
		t.Fatalf("log: %v", all)
	}
	if d := cmp.Diff(want, all[0].ContextMap()); d != "" {
		t.Error(d)
	}
}
