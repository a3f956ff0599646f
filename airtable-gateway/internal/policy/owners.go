package policy

import (
	"context"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Ownership says whose a new base is. It is a job too: for when permission-service could
// not be told in the moment in which the base was made.
type Ownership struct {
	Tenant id.TenantID `json:"tenant_id"`
	User   id.UserID   `json:"user_id"`
	Base   string      `json:"base_id"`
}

// Kind implements river.JobArgs.
func (Ownership) Kind() string { return "own_base" }

// OwnWorker works Ownership.
type OwnWorker struct {
	river.WorkerDefaults[Ownership]
	Guard *Guard
}

// Work implements river.Worker.
func (w *OwnWorker) Work(ctx context.Context, job *river.Job[Ownership]) error {
	return w.Guard.Own(ctx, job.Args)
}
