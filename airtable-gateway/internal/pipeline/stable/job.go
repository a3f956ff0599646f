package stable

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// CopyFiles is the job that copies files whose links were handed out.
type CopyFiles struct {
	Tenant     id.TenantID         `json:"tenant"`
	Connection models.ConnectionID `json:"connection"`
	Files      []CopyFile          `json:"files"`
}

// CopyFile is one of them.
type CopyFile struct {
	Attachment models.AttachmentID `json:"attachment"`
	Variant    string              `json:"variant,omitempty"`
}

// Kind implements river.JobArgs.
func (CopyFiles) Kind() string { return "copy_stable_files" }

// copyTries last for about a day and a half: an account may be out of its monthly
// calls, or the service away.
const copyTries = 15

// InsertOpts implements river.JobArgsWithInsertOpts.
func (CopyFiles) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: copyTries} }

// filesPerJob lets several workers share a large answer.
const filesPerJob = 16

// copyJobs are the jobs for files without a copy, which are of one connection.
func copyJobs(missing []repository.StableKey) []river.JobArgs {
	var out []river.JobArgs
	for some := range slices.Chunk(missing, filesPerJob) {
		job := CopyFiles{Tenant: some[0].Tenant, Connection: some[0].Connection}
		for _, key := range some {
			job.Files = append(job.Files, CopyFile{key.Attachment, key.Variant})
		}
		out = append(out, job)
	}
	return out
}

// CopyWorker works CopyFiles.
type CopyWorker struct {
	river.WorkerDefaults[CopyFiles]
	Links *Links
}

// Timeout implements river.Worker: a file may have a gigabyte.
func (*CopyWorker) Timeout(*river.Job[CopyFiles]) time.Duration { return 2 * time.Hour }

// Work implements river.Worker: it copies what has no copy yet. What is gone at
// Airtable is left; the others are tried again until they are here.
func (w *CopyWorker) Work(ctx context.Context, j *river.Job[CopyFiles]) error {
	var failed []error
	for _, file := range j.Args.Files {
		key := repository.StableKey{Tenant: j.Args.Tenant, Connection: j.Args.Connection, Attachment: file.Attachment, Variant: file.Variant}
		f, err := w.Links.Repo.StableFile(ctx, key)
		if errors.Is(err, errs.ErrNotFound) {
			continue // with its connection
		}
		if err == nil && f.Sum == "" {
			_, err = w.Links.copy(ctx, f)
		}
		switch {
		case err == nil:
		case files.Permanent(err):
			logging.From(ctx).Info("a file of Airtable cannot be copied", zap.String("attachment", string(file.Attachment)), zap.Error(err))
		default:
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
