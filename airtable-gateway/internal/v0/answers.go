package v0

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// ContentType is what Airtable sends with every JSON body.
const ContentType = "application/json; charset=utf-8"

// The refusals that only a gateway has to make; the ones of Airtable itself are in
// package models.
var (
	// ErrBadToken is the answer to credentials that are not, or no longer, valid.
	ErrBadToken = &models.Error{Status: http.StatusUnauthorized, Type: "UNAUTHORIZED", Message: "Invalid authentication token"}
	// ErrTooLarge is the answer to a body over the limit.
	ErrTooLarge = &models.Error{Status: http.StatusRequestEntityTooLarge, Type: "REQUEST_TOO_LARGE", Message: "Request body is too large"}
	// ErrTokenRefused says that Airtable no longer takes the token of the
	// connection. It is not a 401: the caller's own token is good.
	ErrTokenRefused = &models.Error{Status: http.StatusForbidden, Type: "INVALID_PERMISSIONS",
		Message: "Airtable refused the token of the connection that this base belongs to. An administrator has to renew it."}
	// ErrQuotaSpent is what Airtable answers when the calls of the month are used up.
	// Its text is not documented, its type is; waiting does not help.
	ErrQuotaSpent = &models.Error{Status: http.StatusTooManyRequests, Type: "PUBLIC_API_BILLING_LIMIT_EXCEEDED",
		Message: "The API billing plan limit has been exceeded for this month"}
	// ErrOutcomeUnknown is the answer when nobody can say whether a write was
	// applied. Clients of Airtable do not repeat a call on a 500.
	ErrOutcomeUnknown = &models.Error{Status: http.StatusInternalServerError, Type: "SERVER_ERROR",
		Message: "The upstream gave no answer. The request may or may not have been executed."}
)

// Refuse is the answer that tells of err.
func Refuse(err *models.Error) upstream.Answer { return answer(err.Status, err.Body()) }

// QuotaSpent reports whether the answer says that the month's calls are used up.
func QuotaSpent(a upstream.Answer) bool {
	e := ReadError(a)
	return e != nil && e.Type == ErrQuotaSpent.Type
}

// PlanLimit says that the tenant's plan with us allows no more of something. No client of
// Airtable repeats a call on a 422.
func PlanLimit(message string) *models.Error {
	return &models.Error{Status: http.StatusUnprocessableEntity, Type: "PLAN_LIMIT_REACHED", Message: message}
}

// PlanQuota says that the calls which the tenant's plan with us allows are used up: what
// Airtable says of its own.
func PlanQuota(message string) *models.Error {
	return &models.Error{Status: ErrQuotaSpent.Status, Type: ErrQuotaSpent.Type, Message: message}
}

// Retry is the answer when the call was certainly not executed, or only reads:
// pyairtable sends it again when a Retry-After comes with it, creates included.
func Retry() upstream.Answer { return RetryAfter(models.ErrRetriable, time.Second) }

// RetryAfter is Refuse with a time after which the call may be repeated, in whole seconds.
func RetryAfter(err *models.Error, after time.Duration) upstream.Answer {
	a := Refuse(err)
	a.Header.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(after.Seconds())), 10))
	return a
}

// OK is a 200 with the JSON of body.
func OK(body any) upstream.Answer { return answer(http.StatusOK, models.Marshal(body)) }

// Whoami is the answer that says whose token it is, with the address if it is known.
func Whoami(owner models.Person) upstream.Answer {
	return OK(struct {
		ID    models.PersonID `json:"id"`
		Email string          `json:"email,omitempty"`
	}{owner.ID, owner.Email})
}

func answer(status int, body []byte) upstream.Answer {
	return upstream.Answer{Status: status, Header: http.Header{"Content-Type": {ContentType}}, Body: body}
}

// ReadError reads Airtable's error out of an answer, in whichever of its shapes it
// came. It is nil for a success. A body of no known shape gives one without a Type.
func ReadError(a upstream.Answer) *models.Error {
	if a.Status < http.StatusBadRequest {
		return nil
	}
	e := &models.Error{Status: a.Status}
	var body struct {
		Error  json.RawMessage `json:"error"`
		Errors []struct {
			Error   string `json:"error"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(a.Body, &body) != nil {
		return e
	}
	if len(body.Errors) > 0 {
		e.Shape, e.Type, e.Message = models.List, body.Errors[0].Error, body.Errors[0].Message
		return e
	}
	var object struct{ Type, Message string }
	if json.Unmarshal(body.Error, &object) == nil {
		e.Type, e.Message = object.Type, object.Message
		return e
	}
	if json.Unmarshal(body.Error, &e.Type) == nil {
		e.Shape = models.Bare
	}
	return e
}
