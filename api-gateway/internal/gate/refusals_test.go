package gate

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/refusals"
)

// What the gateway itself refuses is told, without its query; what a service answers is
// the service's to tell, and an unknown route nobody's.
func TestGate_TellsWhatItRefuses(t *testing.T) {
	t.Parallel()
	recorder := refusals.New("api-gateway", zap.NewNop(), prometheus.NewRegistry())
	b := start(t, func(o *Options) { o.Refusals = recorder })
	b.do(t, "GET", "/api/v1/things/7?secret=x", "User-Agent", "curl/8")
	b.do(t, "GET", "/api/v1/things/7", b.bearer()...)
	b.do(t, "GET", "/nowhere")
	rdb := redistest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a stop sends what is left
	if err := recorder.Run(ctx, rdb); err != nil {
		t.Fatal(err)
	}
	keys, err := rdb.Keys(t.Context(), "events:{requests:*}").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	list, err := rdb.XRange(t.Context(), keys[0], "-", "+").Result()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	text, _ := list[0].Values["e"].(string)
	for _, want := range []string{`"source":"/api-gateway"`, `"path":"/api/v1/things/{id}"`, `"status":401`, `"code":"unauthenticated"`, `"clientip":"127.0.0.1"`, `"useragent":"curl/8"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "secret") {
		t.Error(text)
	}
}
