package files

import (
	"context"
	"io"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Store keeps what r holds beside the files, as something that is no attachment. What
// does not come to refer to it within a day lets it go.
func (k *Keeper) Store(ctx context.Context, tenant id.TenantID, r io.Reader, limit int64) (blobs.Stored, error) {
	return k.blobs.Put(ctx, tenant, r, limit)
}

// Open returns what Store has stored, or blobs.ErrGone. It must be closed.
func (k *Keeper) Open(ctx context.Context, tenant id.TenantID, sum string) (io.ReadSeekCloser, error) {
	return k.blobs.Open(ctx, tenant, sum)
}

// Collect removes what nothing has referred to for a day, as the job of that name does.
func (k *Keeper) Collect(ctx context.Context) error {
	_, err := k.blobs.Collect(ctx)
	return err
}
