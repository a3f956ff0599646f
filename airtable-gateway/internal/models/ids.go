package models

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"strings"
	"sync"
)

// Airtable's own ids: three letters that name the thing and fourteen characters
// of [A-Za-z0-9], case-sensitive.
type (
	BaseID   string // app…
	TableID  string // tbl…
	FieldID  string // fld…
	ViewID   string // viw…
	RecordID string // rec…
	ChoiceID string // sel…
)

const (
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	idLength = 14
	// maxIDLength bounds ids that are longer than Airtable's, which test suites use.
	maxIDLength = 64
)

// IDs makes ids. A nil *IDs makes unguessable ones; it is safe for concurrent use.
type IDs struct {
	mu     sync.Mutex
	seeded *mathrand.ChaCha8
}

// SeededIDs makes the same ids in the same order for the same seed and stream, and
// others for each other pair. They can be guessed, and are for tests.
func SeededIDs(seed, stream uint64) *IDs {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], stream)
	return &IDs{seeded: mathrand.NewChaCha8(key)}
}

func (s *IDs) read(buf []byte) {
	if s == nil {
		_, _ = rand.Read(buf) // never fails
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.seeded.Read(buf) // never fails
}

// New returns prefix followed by fourteen random characters.
func (s *IDs) New(prefix string) string {
	out := make([]byte, 0, len(prefix)+idLength)
	out = append(out, prefix...)
	var buf [32]byte
	for len(out) < len(prefix)+idLength {
		s.read(buf[:])
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte; above it the choice would be uneven.
			if b < 248 && len(out) < len(prefix)+idLength {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

func (s *IDs) Base() BaseID     { return BaseID(s.New("app")) }
func (s *IDs) Table() TableID   { return TableID(s.New("tbl")) }
func (s *IDs) Field() FieldID   { return FieldID(s.New("fld")) }
func (s *IDs) View() ViewID     { return ViewID(s.New("viw")) }
func (s *IDs) Record() RecordID { return RecordID(s.New("rec")) }
func (s *IDs) Choice() ChoiceID { return ChoiceID(s.New("sel")) }

func (s *IDs) Webhook() WebhookID { return WebhookID(s.New("ach")) }

// Bytes returns n random bytes, as guessable as the ids.
func (s *IDs) Bytes(n int) []byte {
	out := make([]byte, n)
	s.read(out)
	return out
}

// IsID reports whether s has the shape of an id with the prefix. The length is
// not enforced: clients' test suites use ids such as rec0.
func IsID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || rest == "" || len(s) > maxIDLength {
		return false
	}
	for i := range len(rest) {
		if strings.IndexByte(alphabet, rest[i]) < 0 {
			return false
		}
	}
	return true
}
