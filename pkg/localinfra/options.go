package localinfra

import (
	"crypto/rand"
	"fmt"
	"time"
)

// Profile says what a server promises about its data.
type Profile int

const (
	// Durable keeps what was committed through kill -9 and power loss. Redis keeps
	// all but the last second; what was lost there the outbox publishes again.
	Durable Profile = iota
	// Ephemeral trades safety for speed, and lives in memory when there is room.
	Ephemeral
)

// Options says how to start a server.
type Options struct {
	// Dir is the directory of the instance, made when absent. Data found in it is
	// used again. Empty means a new directory that Stop, or the end of this process,
	// removes; only an Ephemeral server may leave it empty.
	Dir     string
	Profile Profile
	// Port is the port to listen on; 0 takes the port of the last time if it is
	// free, and else any free one.
	Port int
	// Install allows installing what is missing: by the package manager when this
	// process may, and for PostgreSQL by a download.
	Install bool
	// Say is told in a sentence what takes long or what a person should know.
	// It may be nil.
	Say func(sentence string)

	downloads string // another place to download from, for tests
}

// How long a server may take: a durable one may have a long recovery ahead after a crash.
const (
	startLimit    = 30 * time.Second
	recoveryLimit = 5 * time.Minute
	stopLimit     = 15 * time.Second
)

func (o Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(fmt.Sprintf(format, args...))
	}
}

func (o Options) startLimit() time.Duration {
	if o.Profile == Durable {
		return recoveryLimit
	}
	return startLimit
}

// newPassword returns 128 random bits that need no escaping in a URL or a config file.
func newPassword() string { return rand.Text() }
