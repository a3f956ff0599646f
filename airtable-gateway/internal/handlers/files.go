package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// download serves the files that links lead to. It is no Op: what it answers is no
// JSON and comes in ranges.
type download struct{ keeper *files.Keeper }

func (d download) serve(c *gin.Context) {
	if c.Request.Method != http.MethodGet && c.Request.Method != http.MethodHead {
		httpx.Fail(c, airtableapi.ErrFileNotFound)
		return
	}
	rest := strings.TrimPrefix(c.Request.URL.EscapedPath(), airtableapi.Files.Prefix)
	if err := d.keeper.Download(c.Writer, c.Request, rest); err != nil {
		httpx.Fail(c, fileError(c, err))
	}
}

// arrivesSoon is when to ask again for a file that is on its way.
const arrivesSoon = 2 * time.Second

func fileError(c *gin.Context, err error) error {
	switch {
	case errors.Is(err, files.ErrExpired):
		return airtableapi.ErrFileExpired
	case errors.Is(err, files.ErrNotYet):
		return airtableapi.ErrFileNotYet.After(arrivesSoon)
	case errors.Is(err, files.ErrNotThere):
		return airtableapi.ErrFileNotFound
	case c.Request.Context().Err() != nil, errors.Is(err, context.DeadlineExceeded): // a client that left is no fault of ours
		return errs.ErrUnavailable.Because(err)
	}
	return err
}
