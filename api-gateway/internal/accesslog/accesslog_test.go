package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// stuck is a reader of the log that does not keep up until it is let go.
type stuck struct {
	release chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) { <-s.release; return s.Buffer.Write(p) }

func TestLog_DropsAndCountsRatherThanWaits(t *testing.T) {
	t.Parallel()
	out := &stuck{release: make(chan struct{})}
	l := New(out, "svc")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 4000 {
				l.Add(&Entry{Time: time.Now(), Method: "GET", Path: strings.Repeat("p", 200)})
			}
		})
	}
	wg.Wait() // with nobody reading
	if l.Dropped() == 0 || l.Dropped()+l.Lines() != 16000 {
		t.Errorf("%d lines taken, %d dropped", l.Lines(), l.Dropped())
	}
	close(out.release)
	cancel()
	<-done
	lines := bytes.Split(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
	if int64(len(lines)) != l.Lines() {
		t.Errorf("%d lines written of %d taken", len(lines), l.Lines())
	}
	for _, line := range lines {
		if !json.Valid(line) {
			t.Fatalf("not JSON: %s", line)
		}
	}
}
