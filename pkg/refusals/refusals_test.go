package refusals_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/refusals"
)

// A full buffer must not hold a request up: what it does not take is counted.
func TestNote_NeverWaitsAndCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r := refusals.New("thing-service", zap.NewNop(), reg)
	for range 5000 {
		r.Note(origin.Origin{}, id.TenantID{}, auditapi.RequestRefusedData{Op: "getThing", Status: 403})
	}
	if n, err := testutil.GatherAndCount(reg, "refused_requests_unrecorded_total"); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	rdb := redistest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a stop sends a last batch
	if err := r.Run(ctx, rdb); err != nil {
		t.Fatal(err)
	}
	keys, err := rdb.Keys(t.Context(), "events:{requests:*}").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if n, err := rdb.XLen(t.Context(), keys[0]).Result(); err != nil || n == 0 {
		t.Error(n, err)
	}
	var none *refusals.Recorder
	none.Note(origin.Origin{}, id.TenantID{}, auditapi.RequestRefusedData{})
}

func TestCounts_WhatIsARefusal(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{200: false, 400: false, 401: true, 403: true, 404: true, 409: false, 422: false, 429: true, 500: false} {
		if refusals.Counts(status) != want {
			t.Errorf("%d: %v", status, !want)
		}
	}
}
