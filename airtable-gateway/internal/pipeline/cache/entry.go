package cache

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// entry is an answer as it is kept: a 200 and nothing else. It is never changed.
type entry struct {
	stamps stamps
	alone  bool      // asked for while Redis was away
	born   time.Time // when it was asked for, to the millisecond
	signed bool      // it holds links that expire

	contentType []string
	etag        []string
	body        []byte

	// Of a page of a walk.
	offset string // that the body holds; "" on the last page
	last   string // print of the last record so far

	// When and at which seq its mark was last found to be the place's.
	checked atomic.Int64
	seq     atomic.Uint64
}

func newEntry(a upstream.Answer, m mark, asked time.Time) *entry {
	e := &entry{
		stamps: m.stamps, alone: m.alone, born: asked.Truncate(time.Millisecond),
		contentType: a.Header["Content-Type"], body: a.Body,
	}
	e.signed = bytes.Contains(a.Body, airtableLink) || bytes.Contains(a.Body, attachmentID)
	e.seal()
	e.note(m, asked)
	return e
}

// What tells of attachments. Airtable's links to them expire after two hours; whether one
// leads to a copy that does not, cannot be seen from here. Inside a text a quote is
// escaped, so that the second is found in attachments alone.
var (
	airtableLink = []byte("airtableusercontent.com/")
	attachmentID = []byte(`"id":"att`)
)

// seal makes the ETag of the body.
func (e *entry) seal() {
	sum := sha256.Sum256(e.body)
	e.etag = []string{`"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`}
}

func (e *entry) note(m mark, now time.Time) {
	e.seq.Store(m.seq)
	e.checked.Store(now.UnixNano())
}

// safeAge is how long after it was last known to be good an answer may be given while
// Redis is away.
const safeAge = 2 * time.Second

// stands reports whether nothing was written to the entry's place since, as far as
// the mark tells, and notes it.
func (e *entry) stands(m mark, now time.Time) bool {
	switch {
	case m.alone:
		return e.seq.Load() == m.seq && now.Sub(time.Unix(0, e.checked.Load())) <= safeAge
	case e.alone || e.stamps != m.stamps:
		return false
	}
	e.note(m, now)
	return true
}

func (e *entry) age(now time.Time) time.Duration { return max(0, now.Sub(e.born)) }

// weight is what the entry takes of the memory.
func (e *entry) weight() int { return len(e.body) + 512 }

const (
	layout   = 1
	squeezed = 1 << 10 // bodies from this size on are compressed
)

var errEntry = errors.New("malformed entry")

// encode writes the entry as Redis keeps it.
func (e *entry) encode() ([]byte, error) {
	out := []byte{layout, 0}
	if e.signed {
		out[1] |= 1
	}
	for _, n := range []int64{e.stamps.base, e.stamps.part, e.born.UnixMilli()} {
		out = binary.AppendVarint(out, n)
	}
	for _, s := range []string{strings.Join(e.contentType, ","), e.offset, e.last} {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	if len(e.body) < squeezed {
		return append(out, e.body...), nil
	}
	out[1] |= 2
	buf := bytes.NewBuffer(out)
	w, err := flate.NewWriter(buf, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(e.body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func decode(b []byte) (*entry, error) {
	if len(b) < 2 || b[0] != layout {
		return nil, errEntry
	}
	e, flags, rest := &entry{}, b[1], b[2:]
	e.signed = flags&1 != 0
	var born int64
	for _, into := range []*int64{&e.stamps.base, &e.stamps.part, &born} {
		v, n := binary.Varint(rest)
		if n <= 0 {
			return nil, errEntry
		}
		*into, rest = v, rest[n:]
	}
	e.born = time.UnixMilli(born)
	var contentType string
	for _, into := range []*string{&contentType, &e.offset, &e.last} {
		size, n := binary.Uvarint(rest)
		if n <= 0 || uint64(len(rest)-n) < size {
			return nil, errEntry
		}
		*into, rest = string(rest[n:n+int(size)]), rest[n+int(size):]
	}
	e.contentType, e.body = []string{contentType}, rest
	if flags&2 != 0 {
		var err error
		if e.body, err = io.ReadAll(flate.NewReader(bytes.NewReader(rest))); err != nil {
			return nil, err
		}
	}
	e.seal()
	return e, nil
}
