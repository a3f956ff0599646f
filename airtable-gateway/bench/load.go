package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is what a run of reads brought.
type load struct {
	answers map[int]int // by status; 0 is none at all
	cached  map[string]int
	elapsed time.Duration
	took    []time.Duration // sorted
}

// errors counts what a caller would call one.
func (l load) errors() (n int) {
	for status, times := range l.answers {
		if status != http.StatusOK {
			n += times
		}
	}
	return n
}

func (l load) perSecond() float64 { return float64(len(l.took)) / l.elapsed.Seconds() }

func (l load) quantile(q float64) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	return l.took[min(len(l.took)-1, int(q*float64(len(l.took))))]
}

// read sends the paths in turn over kept connections until so many answers came or ctx
// ended. Between two requests of a connection it waits for pace, if there is one.
func read(ctx context.Context, url, token string, paths []string, connections, requests int, pace time.Duration) load {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var (
		next atomic.Int64
		mu   sync.Mutex
		wg   sync.WaitGroup
	)
	all := load{answers: map[int]int{}, cached: map[string]int{}}
	began := time.Now()
	for range connections {
		wg.Go(func() {
			own := load{answers: map[int]int{}, cached: map[string]int{}}
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= requests {
					break
				}
				own.one(ctx, client, url+paths[n%len(paths)], token)
				if pace > 0 && pause(ctx, pace) != nil {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for status, times := range own.answers {
				all.answers[status] += times
			}
			for said, times := range own.cached {
				all.cached[said] += times
			}
			all.took = append(all.took, own.took...)
		})
	}
	wg.Wait()
	all.elapsed = time.Since(began)
	slices.Sort(all.took)
	return all
}

func (l *load) one(ctx context.Context, client *http.Client, url, token string) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err == nil {
		req.Header["Authorization"] = []string{"Bearer " + token}
		var resp *http.Response
		if resp, err = client.Do(req); err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if err == nil {
				l.answers[resp.StatusCode]++
				l.cached[resp.Header.Get("X-Cache")]++
				l.took = append(l.took, time.Since(began))
				return
			}
		}
	}
	if !errors.Is(err, ctx.Err()) || ctx.Err() == nil { // the end of the run is no error
		l.answers[0]++
	}
}

// same asks both servers each path and returns an error if an answer differs. It is
// so slow that both together keep to the limit.
func same(ctx context.Context, paths []string, url, token, other, otherToken string) error {
	for _, path := range paths {
		status, body := get(ctx, url+path, token)
		otherStatus, otherBody := get(ctx, other+path, otherToken)
		if status != otherStatus || normal(body) != normal(otherBody) {
			return fmt.Errorf("%s: %d %.300s\nbut %d %.300s", path, status, body, otherStatus, otherBody)
		}
		if err := pause(ctx, 600*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
