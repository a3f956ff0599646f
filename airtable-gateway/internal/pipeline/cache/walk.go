package cache

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// step is a place in a walk: the number of the page, from 0 on, and the print of the last
// record of the page before. It is written like an offset of Airtable's, itr…/rec…, with
// a sum over itself and over what is listed, for whom: an offset of another list,
// connection or tenant is none of this one's. The sum is no secret, as an offset opens
// nothing that its holder may not read.
type step struct {
	walk string
	page int
	last string
}

// print stands for a record, "" for none.
func printOf(record string) string {
	sum := sha256.Sum256([]byte("record/" + record))
	return digits(binary.BigEndian.Uint64(sum[:]), recordDigits/2) + digits(binary.BigEndian.Uint64(sum[8:]), recordDigits/2)
}

const (
	walkDigits   = 6
	pageDigits   = 3
	sumDigits    = 5
	recordDigits = 14
	alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

func newWalk() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return digits(binary.BigEndian.Uint64(b[:]), walkDigits)
}

func (s step) offset(of key) string {
	return "itr" + s.walk + digits(uint64(s.page), pageDigits) + s.sum(of) + "/rec" + s.last
}

func (s step) sum(of key) string {
	h := sha256.New()
	h.Write(of[:])
	h.Write([]byte(s.walk + "/" + strconv.Itoa(s.page) + "/" + s.last))
	return digits(binary.BigEndian.Uint64(h.Sum(nil)), sumDigits)
}

// readStep reads what offset wrote for the same list; ok is false for anything else.
func readStep(offset string, of key) (s step, ok bool) {
	head, last, ok := strings.Cut(offset, "/rec")
	if !ok || len(head) != 3+walkDigits+pageDigits+sumDigits || head[:3] != "itr" {
		return s, false
	}
	page, ok := number(head[3+walkDigits : 3+walkDigits+pageDigits])
	s = step{walk: head[3 : 3+walkDigits], page: page, last: last}
	return s, ok && page > 0 && s.sum(of) == head[3+walkDigits+pageDigits:]
}

// key is that of the page of the size, the zero step's that of every walk's first one;
// walkKey is that of the whole walk.
func (s step) key(of key, size int) key {
	return sha256.Sum256([]byte("page/" + string(of[:]) + "/" + s.walk + "/" + strconv.Itoa(s.page) + "/" + strconv.Itoa(size)))
}

func (s step) walkKey(of key) key {
	return sha256.Sum256([]byte("walk/" + string(of[:]) + "/" + s.walk))
}

// digits writes n in base 62; what does not fit is cut off.
func digits(n uint64, width int) string {
	out := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		out[i] = alphabet[n%62]
		n /= 62
	}
	return string(out)
}

func number(s string) (n int, ok bool) {
	for i := range len(s) {
		d := strings.IndexByte(alphabet, s[i])
		if d < 0 {
			return 0, false
		}
		n = 62*n + d
	}
	return n, true
}

// listed is a page of a list as Airtable wrote it, member by member.
type listed struct {
	names  []string
	values []json.RawMessage
	offset string // "" on the last page
	last   string // id of the last record, "" if there is none
}

// readPage takes a page apart; ok is false for what is no page.
func readPage(body []byte) (p listed, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return p, false
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return p, false
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return p, false
		}
		text, _ := name.(string)
		p.names, p.values = append(p.names, text), append(p.values, value)
		if !p.read(text, value) {
			return p, false
		}
	}
	_, err := dec.Token() // the end of the object
	return p, err == nil
}

func (p *listed) read(name string, value json.RawMessage) bool {
	switch name {
	case "offset":
		return string(value) == "null" || json.Unmarshal(value, &p.offset) == nil
	case "records":
		var records []struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(value, &records) != nil {
			return false
		}
		if len(records) > 0 {
			p.last = records[len(records)-1].ID
		}
	}
	return true
}

// with is the body with another offset. All else stays as Airtable wrote it.
func (p listed) with(offset string) []byte {
	var b bytes.Buffer
	for i, name := range p.names {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(models.Marshal(name))
		b.WriteByte(':')
		if name == "offset" {
			b.Write(models.Marshal(offset))
		} else {
			b.Write(p.values[i])
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// at is the call for the page that begins at the offset, "" for the first one.
func at(c upstream.Call, offset string) upstream.Call {
	var kept []string
	for pair := range strings.SplitSeq(c.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); pair != "" && (err != nil || name != "offset") {
			kept = append(kept, pair)
		}
	}
	if c.Method == http.MethodGet {
		if offset != "" {
			kept = append(kept, "offset="+url.QueryEscape(offset))
		}
		c.RawQuery = strings.Join(kept, "&")
		return c
	}
	c.RawQuery = strings.Join(kept, "&")
	body, err := models.DecodeObject(c.Body)
	if err != nil {
		return c // it has been read before
	}
	if _, has := body["offset"]; !has && offset == "" {
		return c
	}
	delete(body, "offset")
	if offset != "" {
		body["offset"] = offset
	}
	c.Body = models.Marshal(body)
	return c
}
