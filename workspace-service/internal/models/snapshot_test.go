package models_test

import (
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

func TestSchedule_NextIsInItsTimeZone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, after, want string
		s                 models.Schedule
	}{
		{"hourly", "2026-03-01T10:20:30Z", "2026-03-01T11:05:00Z", models.Schedule{Every: "hourly", Minute: 5, Zone: "UTC"}},
		{"hourly, this hour", "2026-03-01T10:04:59Z", "2026-03-01T10:05:00Z", models.Schedule{Every: "hourly", Minute: 5, Zone: "UTC"}},
		{"hourly, on the minute", "2026-03-01T10:05:00Z", "2026-03-01T11:05:00Z", models.Schedule{Every: "hourly", Minute: 5, Zone: "UTC"}},
		{"daily in winter", "2026-01-10T02:00:00Z", "2026-01-11T01:30:00Z", models.Schedule{Every: "daily", Hour: 2, Minute: 30, Zone: "Europe/Berlin"}},
		{"daily in summer", "2026-07-10T02:00:00Z", "2026-07-11T00:30:00Z", models.Schedule{Every: "daily", Hour: 2, Minute: 30, Zone: "Europe/Berlin"}},
		{"weekly", "2026-03-04T12:00:00Z", "2026-03-08T23:00:00Z", models.Schedule{Every: "weekly", Weekday: 1, Zone: "Europe/Berlin"}},
		{"weekly, on the moment", "2026-03-08T23:00:00Z", "2026-03-15T23:00:00Z", models.Schedule{Every: "weekly", Weekday: 1, Zone: "Europe/Berlin"}},
	} {
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.s.Next(after).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
