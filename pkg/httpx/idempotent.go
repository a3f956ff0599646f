package httpx

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/idempotency"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxIdempotencyKey = 255
)

// kept are the headers of an answer that belong to it, rather than to the
// request that it was first given to.
var kept = []string{"Content-Type", "Location", "ETag"}

// idempotent gives a repeated request the first answer again. Only successes are
// remembered: what was refused may be tried again with the same key.
func (a *API) idempotent(spec api.Spec) gin.HandlerFunc {
	return func(c *gin.Context) {
		key := c.GetHeader(idempotencyHeader)
		if key == "" || a.idempotency == nil {
			c.Next()
			return
		}
		if len(key) > maxIdempotencyKey {
			Fail(c, errs.ErrInvalid.With(errs.Field{Pointer: idempotencyHeader, Detail: "expected length <= 255"}))
			return
		}
		fingerprint, err := fingerprintOf(c.Request)
		if err != nil {
			Fail(c, errs.New(errs.Malformed, "body_unreadable", "The body could not be read.").Because(err))
			return
		}
		who := Who(c)
		answer, attempt, err := a.idempotency.Begin(c.Request.Context(), idempotency.Key{
			Tenant: who.TenantID, Principal: who.Subject(), Op: spec.Name, Key: key,
		}, fingerprint)
		switch {
		case err != nil:
			Fail(c, err)
		case answer != nil:
			replay(c, answer)
		default:
			a.record(c, attempt)
		}
	}
}

// fingerprintOf hashes what was asked, and puts the body back.
func fingerprintOf(r *http.Request) ([sha256.Size]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h := sha256.New()
	_, _ = io.WriteString(h, r.URL.RequestURI()+"\x00")
	_, _ = h.Write(body)
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func replay(c *gin.Context, answer *idempotency.Answer) {
	for k, v := range answer.Header {
		c.Header(k, v)
	}
	c.Header(replayedHeader, "true")
	c.Status(answer.Status)
	_, _ = c.Writer.Write(answer.Body)
	c.Abort()
}

// record runs the handler, stores its answer, and only then gives it to the
// client: one who has seen a success can rely on seeing it again.
func (a *API) record(c *gin.Context, attempt *idempotency.Attempt) {
	ctx := context.WithoutCancel(c.Request.Context())
	mine, stop := attempt.Hold(c.Request.Context())
	defer stop()
	c.Request = c.Request.WithContext(mine)
	held := &held{ResponseWriter: c.Writer}
	c.Writer = held
	done := false
	defer func() {
		if !done { // a panic
			_ = attempt.Abandon(ctx)
		}
	}()
	c.Next()
	done = true
	c.Writer = held.ResponseWriter
	var err error
	if status := held.Status(); status >= 200 && status < 300 {
		header := map[string]string{}
		for _, k := range kept {
			if v := held.Header().Get(k); v != "" {
				header[k] = v
			}
		}
		err = attempt.Finish(ctx, idempotency.Answer{Status: status, Header: header, Body: held.body.Bytes()})
	} else {
		err = attempt.Abandon(ctx)
	}
	if err != nil {
		logging.From(ctx).Error("an idempotent answer was not kept", zap.Error(err))
	}
	if held.body.Len() > 0 {
		_, _ = c.Writer.Write(held.body.Bytes()) // the client may be gone; his answer is kept
	}
}

// held keeps the body back.
type held struct {
	gin.ResponseWriter
	body bytes.Buffer
}

func (h *held) Write(p []byte) (int, error)       { return h.body.Write(p) }
func (h *held) WriteString(s string) (int, error) { return h.body.WriteString(s) }
func (h *held) WriteHeaderNow()                   {}
func (h *held) Flush()                            {}
