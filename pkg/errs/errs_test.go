package errs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

var errTaken = errs.New(errs.Conflict, "email_taken", "An account with this email exists.")

func TestError_SurvivesTheWire(t *testing.T) {
	t.Parallel()
	sent := errTaken.Because(io.EOF).With(errs.Field{Pointer: "/email", Detail: "taken"}).After(1500 * time.Millisecond)
	body, err := json.Marshal(sent.Problem("/api/v1/auth/register", "req-1"))
	if err != nil {
		t.Fatal(err)
	}
	got := errs.ParseProblem(body)
	if !errors.Is(got, errTaken) {
		t.Fatalf("%s is not %v", body, errTaken)
	}
	if got.Kind != errs.Conflict || len(got.Fields) != 1 || got.RetryAfter != 2*time.Second {
		t.Errorf("read back %+v from %s", got, body)
	}
	if strings.Contains(string(body), "EOF") {
		t.Errorf("the cause reached the wire: %s", body)
	}
}

func TestFrom_UnknownErrorIsInternalAndSilent(t *testing.T) {
	t.Parallel()
	e := errs.From(fmt.Errorf("query accounts: %w", io.ErrUnexpectedEOF))
	if e.Kind != errs.Internal || !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Fatalf("got %+v", e)
	}
	if p := e.Problem("", ""); p.Status != 500 || strings.Contains(p.Detail, "accounts") {
		t.Errorf("the internal message left the process: %+v", p)
	}
}

func TestFrom_FindsTheErrorInAChain(t *testing.T) {
	t.Parallel()
	if e := errs.From(fmt.Errorf("register: %w", errTaken)); e != errTaken {
		t.Errorf("got %v", e)
	}
	if errs.From(nil) != nil {
		t.Error("nil is not an error")
	}
}

func TestWith_LeavesTheDeclarationAlone(t *testing.T) {
	t.Parallel()
	_ = errTaken.With(errs.Field{Pointer: "/email"}).Saying("other").After(time.Minute)
	if len(errTaken.Fields) != 0 || errTaken.RetryAfter != 0 || errTaken.Message == "other" {
		t.Errorf("the shared value was changed: %+v", errTaken)
	}
}
