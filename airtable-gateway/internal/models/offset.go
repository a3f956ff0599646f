package models

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"strings"
	"time"
)

// IteratorLife is how long a walk may pause between two pages.
const IteratorLife = 10 * time.Minute

// Offset is the place of a walk through a table, written itr…/rec… as
// Airtable's is. There are two kinds.
//
// A walk in the table's own order needs no memory: the offset itself holds the
// number of the last record sent, how many were sent, when it expires and a
// checksum over these and the list's parameters. Numbers never change and are
// never used again, so whatever others do, a record that stays is met once.
//
// A sorted walk has an Iterator: a stored list of the records' ids in the order
// they had on the first page. The offset then holds the iterator's id and how
// many records were sent.
type Offset struct {
	Iterator string // itr…; "" for a walk in the table's order
	After    int64
	Sent     int64
	Expires  time.Time // of the former kind only
}

const (
	plainMark  = 'A'
	storedMark = 'B'
)

// String writes the offset; params is the Hash of the list that it belongs to.
func (o Offset) String(params string) string {
	if o.Iterator != "" {
		return o.Iterator + "/rec" + string(storedMark) + digits(o.Sent, 13)
	}
	place := string(plainMark) + digits(o.After, 8) + digits(o.Sent, 5)
	expires := digits(o.Expires.Unix(), 6)
	return "itr" + expires + checksum(params, place, expires) + "/rec" + place
}

// ParseOffset reads an offset. One that has not the shape is ErrInvalidOffset;
// one that has, but was never made for these parameters or is past its time, is
// ErrIteratorGone.
func ParseOffset(s, params string, now time.Time) (Offset, error) {
	iterator, place, ok := strings.Cut(s, "/")
	if !ok || !IsID("itr", iterator) || !IsID("rec", place) || len(iterator) != 17 || len(place) != 17 {
		return Offset{}, InvalidOffset(s)
	}
	place = place[3:]
	if place[0] == storedMark {
		sent, ok := number(place[1:])
		if !ok {
			return Offset{}, ErrIteratorGone
		}
		return Offset{Iterator: iterator, Sent: sent}, nil
	}
	expires := iterator[3:9]
	if place[0] != plainMark || checksum(params, place, expires) != iterator[9:] {
		return Offset{}, ErrIteratorGone
	}
	after, ok1 := number(place[1:9])
	sent, ok2 := number(place[9:])
	until, ok3 := number(expires)
	if !ok1 || !ok2 || !ok3 || !now.Before(time.Unix(until, 0)) {
		return Offset{}, ErrIteratorGone
	}
	return Offset{After: after, Sent: sent, Expires: time.Unix(until, 0)}, nil
}

// BaseOffset is the place in a list of bases: itr…/app….
func BaseOffset(last BaseID) string {
	return "itr" + checksum("bases", string(last), "") + "AAAAAA/" + string(last)
}

// ParseBaseOffset reads what BaseOffset wrote.
func ParseBaseOffset(s string) (BaseID, error) {
	_, last, _ := strings.Cut(s, "/")
	if !IsID("app", last) || BaseOffset(BaseID(last)) != s {
		return "", InvalidOffset(s)
	}
	return BaseID(last), nil
}

// checksum guards against offsets of other lists; it is not a secret, since an
// offset opens nothing that its holder may not read.
func checksum(params, place, expires string) string {
	sum := sha256.Sum256([]byte(params + "\x00" + place + "\x00" + expires))
	return digits(int64(binary.BigEndian.Uint64(sum[:])>>17), 8)
}

// digits writes n in base 62 with the given width; what does not fit is cut off.
func digits(n int64, width int) string {
	out := []byte(strings.Repeat(alphabet[:1], width))
	for i := width - 1; i >= 0 && n > 0; i-- {
		out[i] = alphabet[n%62]
		n /= 62
	}
	return string(out)
}

func number(s string) (int64, bool) {
	n := new(big.Int)
	for i := range len(s) {
		d := strings.IndexByte(alphabet, s[i])
		if d < 0 {
			return 0, false
		}
		n.Mul(n, big.NewInt(62)).Add(n, big.NewInt(int64(d)))
	}
	return n.Int64(), n.IsInt64()
}
