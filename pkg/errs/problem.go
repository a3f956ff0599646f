package errs

import (
	"encoding/json"
	"math"
	"strings"
	"time"
)

// ContentType of a Problem.
const ContentType = "application/problem+json"

// typePrefix makes the problem type a URI (RFC 9457, section 3.1.1); a relative
// one, so that it stays true behind any host name.
const typePrefix = "/problems/"

// Problem is the wire form of an Error: RFC 9457 with the extension members
// code, request_id, errors and retry_after.
type Problem struct {
	Type       string  `json:"type"`
	Title      string  `json:"title"`
	Status     int     `json:"status"`
	Detail     string  `json:"detail,omitempty"`
	Instance   string  `json:"instance,omitempty"`
	Code       string  `json:"code"`
	RequestID  string  `json:"request_id,omitempty"`
	Errors     []Field `json:"errors,omitempty"`
	RetryAfter int     `json:"retry_after,omitempty"` // seconds
}

// Problem renders the error for the client. An Internal error keeps its cause to
// itself.
func (e *Error) Problem(instance, requestID string) Problem {
	if e.Kind == Internal {
		e = ErrInternal
	}
	return Problem{
		Type: typePrefix + strings.ReplaceAll(e.Code, "_", "-"), Title: title(e.Code), Status: e.Kind.Status(),
		Detail: e.Message, Instance: instance, Code: e.Code, RequestID: requestID,
		Errors: e.Fields, RetryAfter: e.RetrySeconds(),
	}
}

// RetrySeconds is RetryAfter in whole seconds, rounded up; 0 when there is none.
func (e *Error) RetrySeconds() int { return int(math.Ceil(e.RetryAfter.Seconds())) }

// ParseProblem is the way back: the Error that a problem document told of. It
// returns nil when body is not one.
func ParseProblem(body []byte) *Error {
	var p Problem
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		return nil
	}
	return &Error{
		Kind: KindOf(p.Status), Code: p.Code, Message: p.Detail, Fields: p.Errors,
		RetryAfter: time.Duration(p.RetryAfter) * time.Second,
	}
}

func title(code string) string {
	words := strings.ReplaceAll(code, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}
