package models

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

type (
	snapshot    struct{}
	restoration struct{}

	// SnapshotID names a snapshot.
	SnapshotID = id.ID[snapshot]
	// RestorationID names a restore or a copy.
	RestorationID = id.ID[restoration]
)

// Fault says why something came to nothing.
type Fault struct{ Code, Text string }

// Snapshot is a base as it was at one moment.
type Snapshot struct {
	Tenant    id.TenantID
	ID        SnapshotID
	Base      string
	Label     string
	Status    string
	Fault     Fault
	Scheduled bool
	Comments  bool
	TakenBy   id.UserID
	CreatedAt time.Time
	TakenAt   time.Time // zero: not yet
	Records   int64
	Size      int64
}

// Restoration is a restore of a snapshot, or a copy of a base.
type Restoration struct {
	Tenant       id.TenantID
	ID           RestorationID
	Kind         string
	Snapshot     SnapshotID // zero of a copy
	Source       string     // the base that the snapshot is of, or that is copied; "" of a template
	Template     string     // that a base is made of: an id, or the key of a seed
	Name         string
	Workspace    WorkspaceID // of a new base
	Project      ProjectID
	Table        string
	Record       string
	SkipRecords  bool
	Comments     bool
	RequestedBy  id.UserID
	Status       string
	Fault        Fault
	Base         string // that was made or restored into
	Records      int64
	DroppedLinks int64
	CreatedAt    time.Time
	FinishedAt   time.Time
}

// Schedule is when snapshots of a base are taken.
type Schedule struct {
	Tenant  id.TenantID
	Base    string
	Every   string // hourly, daily, weekly
	Minute  int
	Hour    int
	Weekday int // 0 is Sunday
	Zone    string
	Keep    int
	NextAt  time.Time
	SetBy   id.UserID
}

// Next is the first moment of the schedule behind after. An unknown zone is UTC.
func (s Schedule) Next(after time.Time) time.Time {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		zone = time.UTC
	}
	at := after.In(zone)
	if s.Every == "hourly" {
		next := at.Truncate(time.Minute).Add(time.Duration((s.Minute-at.Minute()+60)%60) * time.Minute)
		if !next.After(after) {
			next = next.Add(time.Hour)
		}
		return next.UTC()
	}
	for day := 0; ; day++ {
		next := time.Date(at.Year(), at.Month(), at.Day()+day, s.Hour, s.Minute, 0, 0, zone)
		if next.After(after) && (s.Every == "daily" || int(next.Weekday()) == s.Weekday) {
			return next.UTC()
		}
	}
}

// Seeded reports whether a base is made of a template that comes with the product.
func (n Restoration) Seeded() bool {
	_, own := id.Parse[template](n.Template)
	return n.Template != "" && own != nil
}

// Whole reports whether a restore of its kind says what it has to, and nothing else: a new
// base where it goes, all others their table, and one record itself.
func (n Restoration) Whole() bool {
	fresh := n.Kind == airtableapi.RestoreBase
	back := n.Kind == airtableapi.RestoreContents || n.Kind == airtableapi.RestoreRecord
	return fresh != n.Workspace.IsZero() && fresh == (n.Table == "") && (fresh || n.Project.IsZero()) &&
		(n.Record != "") == (n.Kind == airtableapi.RestoreRecord) && !(back && (n.Name != "" || n.SkipRecords))
}
