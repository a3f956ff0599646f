package cache

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// control is what a request says about cached answers (RFC 9111, 5.2.1).
type control struct {
	noCache, noStore, onlyIfCached bool

	maxAge   time.Duration // as is, < 0: not said
	minFresh time.Duration
	maxStale time.Duration // < 0: not said
}

// anyAge is a max-stale without a number.
const anyAge = 365 * 24 * time.Hour

func controlOf(h http.Header) control {
	c := control{maxAge: -1, maxStale: -1}
	lines := h["Cache-Control"]
	if len(lines) == 0 {
		c.noCache = len(h["Pragma"]) > 0 && strings.EqualFold(h["Pragma"][0], "no-cache")
		return c
	}
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			c.set(strings.ToLower(name), strings.Trim(value, `"`))
		}
	}
	return c
}

func (c *control) set(name, value string) {
	seconds, err := strconv.Atoi(value)
	seconds = min(seconds, int(anyAge/time.Second))
	d, numbered := time.Duration(seconds)*time.Second, err == nil && seconds >= 0
	switch name {
	case "no-cache":
		c.noCache = true
	case "no-store":
		c.noStore = true
	case "only-if-cached":
		c.onlyIfCached = true
	case "max-age":
		if numbered {
			c.maxAge = d
		} else {
			c.maxAge = 0 // what cannot be read is taken as strictly as can be
		}
	case "min-fresh":
		if numbered {
			c.minFresh = d
		}
	case "max-stale":
		c.maxStale = anyAge
		if value != "" {
			c.maxStale = 0
			if numbered {
				c.maxStale = d
			}
		}
	}
}

// fits reports whether an answer of the age that is fresh for so long is as fresh as
// the request wants it.
func (c control) fits(age, fresh time.Duration) bool {
	if c.maxAge >= 0 {
		fresh = min(fresh, c.maxAge)
	}
	return age+c.minFresh <= fresh
}

// bounds reports whether the request is content with nothing but what is fresh for it.
func (c control) bounds() bool { return c.noCache || c.maxAge >= 0 || c.minFresh > 0 }

// matches reports whether the request has the answer with the ETag already.
func matches(h http.Header, etag string) bool {
	for _, line := range h["If-None-Match"] {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
			if part == etag || part == "*" {
				return true
			}
		}
	}
	return false
}
