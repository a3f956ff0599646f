package handlers

import (
	"errors"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// surface is the Airtable Web API under /v0. It is no Op: its paths hold encoded
// slashes, its bodies pass byte for byte, and its errors have Airtable's shapes.
type surface struct{ gateway *services.Gateway }

func (s surface) serve(c *gin.Context) {
	if c.Request.Method == http.MethodOptions { // a preflight carries no token; the API gateway adds the CORS headers
		c.Status(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
		return
	}
	// What the request is comes before the token, as at Airtable.
	call, ok := v0.Parse(c.Request.Method, c.Request.URL.EscapedPath())
	if !ok {
		write(c.Writer, v0.Refuse(models.ErrNoRoute))
		return
	}
	answer, err := s.answer(c, call)
	if err != nil {
		e := errs.From(err)
		answer = refusal(c, call, e)
		if e.Kind == errs.Internal && c.Request.Context().Err() != nil { // a client that left is no fault of ours
			e = airtableapi.ErrUpstreamAway.Because(err)
		}
		httpx.Note(c, e)
	} else if answer.Denied { // for the record; the caller is told in Airtable's words
		httpx.Note(c, denial(answer))
	}
	write(c.Writer, answer)
}

// denial is what the policy's refusal is called in the audit log.
func denial(a upstream.Answer) *errs.Error {
	if a.Status == http.StatusNotFound {
		return errs.ErrNotFound
	}
	return airtableapi.ErrNotPermitted
}

func (s surface) answer(c *gin.Context, call upstream.Call) (upstream.Answer, error) {
	who := httpx.Who(c)
	if err := httpx.Denied(c); err != nil {
		return upstream.Answer{}, err
	}
	body, err := io.ReadAll(c.Request.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return v0.Refuse(v0.ErrTooLarge), nil
	case err != nil:
		return upstream.Answer{}, errs.New(errs.Malformed, "body_broken", "The body could not be read.").Because(err)
	}
	call.RawQuery, call.Header, call.Body = c.Request.URL.RawQuery, c.Request.Header, body
	return s.gateway.Do(c.Request.Context(), who, call)
}

// refusal says in Airtable's words what the gateway refused.
func refusal(c *gin.Context, call upstream.Call, e *errs.Error) upstream.Answer {
	switch {
	case errors.Is(e, errs.ErrUnauthenticated) && c.GetHeader("Authorization") == "":
		return v0.Refuse(models.ErrAuthenticationRequired)
	case errors.Is(e, errs.ErrUnauthenticated):
		return v0.Refuse(v0.ErrBadToken)
	case errors.Is(e, airtableapi.ErrBaseNotFound) && call.Op == upstream.BaseSchema:
		return v0.Refuse(models.ErrNoSchema)
	case errors.Is(e, airtableapi.ErrBaseNotFound), errors.Is(e, airtableapi.ErrNotPermitted), errors.Is(e, errs.ErrForbidden):
		return v0.Refuse(models.ErrModelNotFound)
	case errors.Is(e, airtableapi.ErrConnectionRefused):
		return v0.Refuse(v0.ErrTokenRefused)
	case errors.Is(e, tenantapi.ErrLimitReached):
		return v0.Refuse(v0.PlanLimit(e.Message))
	case errors.Is(e, tenantapi.ErrQuotaExceeded):
		return v0.RetryAfter(v0.PlanQuota(e.Message), e.RetryAfter)
	case e.Kind == errs.Unavailable:
		return v0.Retry()
	case e.Kind == errs.Malformed:
		return v0.Refuse(models.ErrUnparsableBody)
	}
	return v0.Refuse(v0.ErrOutcomeUnknown)
}

func write(w http.ResponseWriter, a upstream.Answer) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" && len(a.Body) > 0 {
		w.Header().Set("Content-Type", v0.ContentType)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that went away has no use for the error
}
