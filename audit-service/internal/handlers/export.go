package handlers

import (
	"bufio"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

type export struct {
	exporter *services.Exporter
	by       readers
}

var (
	errMethod = errs.New(errs.NotFound, "method_not_allowed", "The route does not take this method.")
	errScope  = errs.ErrForbidden.Saying("Personal access tokens do not open this operation.")
)

// serve streams the log. What goes wrong once the answer has begun can only break it off.
func (h export) serve(c *gin.Context) {
	who := httpx.Who(c)
	format := c.DefaultQuery("format", "ndjson")
	from, err := strconv.ParseInt(c.DefaultQuery("from", "0"), 10, 64)
	switch {
	case c.Request.Method != http.MethodGet:
		httpx.Fail(c, errMethod)
		return
	case who.PAT != "":
		httpx.Fail(c, errScope)
		return
	case err != nil || from < 0:
		httpx.Fail(c, errs.ErrInvalid.With(errs.Field{Pointer: "from", Detail: "want the number of an entry"}))
		return
	case format != "ndjson" && format != "csv":
		httpx.Fail(c, errs.ErrInvalid.With(errs.Field{Pointer: "format", Detail: "want ndjson or csv"}))
		return
	}
	ctx := c.Request.Context()
	if err := h.by.admit(ctx, who); err != nil {
		httpx.Fail(c, err)
		return
	}
	x, err := h.exporter.Begin(ctx, who, format, from)
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	kind, write := "application/x-ndjson", x.NDJSON
	if format == "csv" {
		kind = "text/csv; charset=utf-8"
		write = x.CSV
	}
	c.Header("Content-Type", kind)
	c.Header("Content-Disposition", `attachment; filename="audit.`+format+`"`)
	c.Header("Cache-Control", "no-store")
	c.Status(http.StatusOK)
	out := bufio.NewWriterSize(c.Writer, 64<<10)
	err = write(ctx, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		logging.From(ctx).Warn("an export was broken off", zap.Error(err))
		panic(http.ErrAbortHandler) // the client must see that it is not whole
	}
}
