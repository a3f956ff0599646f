package emulator

import (
	"sync"
	"time"
)

// StepClock is a clock for the stored data that depends on nothing outside: each
// look at it moves it on by one step.
type StepClock struct {
	mu   sync.Mutex
	next time.Time
	step time.Duration
}

// NewStepClock returns a clock that shows start at first.
func NewStepClock(start time.Time, step time.Duration) *StepClock {
	return &StepClock{next: start, step: step}
}

// Now returns the clock's time and moves it on.
func (c *StepClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.next
	c.next = now.Add(c.step)
	return now
}
