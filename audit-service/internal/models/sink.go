package models

import (
	"net/url"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

type sink struct{}

// SinkID names a sink.
type SinkID = id.ID[sink]

// NewSinkID makes one.
func NewSinkID() SinkID { return id.New[sink]() }

// Sink is where a log's entries are forwarded to.
type Sink struct {
	Log       string
	ID        SinkID
	Name      string
	URL       string
	Format    string
	Token     []byte // sealed; nil for none
	Enabled   bool
	NextSeq   int64
	Failures  int
	LastError string
	CreatedAt time.Time
}

// MaxSinks is how many a tenant may have.
const MaxSinks = 10

// Schemes of collectors.
const (
	SyslogTCP = "syslog+tcp"
	SyslogTLS = "syslog+tls"
)

// IsSyslog reports whether the URL is that of a syslog collector.
func IsSyslog(u *url.URL) bool { return u.Scheme == SyslogTCP || u.Scheme == SyslogTLS }

const (
	firstPause = time.Second
	mostPause  = 5 * time.Minute
)

// Pause is how long a sink rests after so many failures in a row.
func Pause(failures int) time.Duration {
	return min(firstPause<<min(failures, 10), mostPause)
}
