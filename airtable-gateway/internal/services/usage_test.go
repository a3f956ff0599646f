package services

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
)

func TestForecast_GoesOnAtTheRateOfTheLastSevenDays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 10, 0, 0, 0, 0, time.UTC) // 21 days are left; 6 whole days behind
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		in   repository.Quota
		want Forecast
	}{
		"nothing spent":  {repository.Quota{MonthlyCalls: 100}, Forecast{Month: june, Quota: 100}},
		"no quota":       {repository.Quota{Used: 90, Recent: 60}, Forecast{Month: june, Used: 90, Calls: 300}},
		"it will do":     {repository.Quota{MonthlyCalls: 300, Used: 90, Recent: 60}, Forecast{Month: june, Quota: 300, Used: 90, Calls: 300}},
		"spent in a day": {repository.Quota{MonthlyCalls: 100, Used: 90, Recent: 60}, Forecast{Month: june, Quota: 100, Used: 90, Calls: 300, ExhaustedAt: now.Add(24 * time.Hour)}},
		"spent":          {repository.Quota{MonthlyCalls: 80, Used: 90, Recent: 60}, Forecast{Month: june, Quota: 80, Used: 90, Calls: 300, ExhaustedAt: now}},
	} {
		if diff := cmp.Diff(tc.want, forecast(tc.in, now)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
