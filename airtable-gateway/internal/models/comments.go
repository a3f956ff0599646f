package models

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// CommentID is the id of a comment: com…
type CommentID string

// Comment is what somebody said about a record.
type Comment struct {
	ID        CommentID
	Table     TableID
	Record    RecordID
	Number    int64 // rises with every comment
	Author    id.UserID
	Text      string    // people in it as @[usr…]
	Parent    CommentID // that it answers; "" for none
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time // zero: never
}

// The refusals of comments. Airtable's own words for them are unconfirmed, and so is
// ErrNotPermitted for changing another's.
var (
	ErrCommentNotFound = &Error{notFound, "MODEL_ID_NOT_FOUND", "Comment not found", Object}
	ErrCommentText     = BadRequest(`Invalid request: "text" must be a string that is not empty.`)
	ErrCommentParent   = BadRequest(`Invalid request: "parentCommentId" is not a comment of this record.`)
)

// CommentSpec is what the body of creating or editing a comment says.
type CommentSpec struct {
	Text   string
	Parent CommentID
}

// ParseComment reads the body of creating a comment; of editing one, where the
// parent stays as it is.
func ParseComment(body []byte) (CommentSpec, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return CommentSpec{}, err
	}
	text, _ := in["text"].(string)
	if text = clean(text); text == "" || tooLong(text) {
		return CommentSpec{}, ErrCommentText
	}
	spec := CommentSpec{Text: text}
	switch parent := in["parentCommentId"].(type) {
	case nil:
	case string:
		if !IsID("com", parent) {
			return CommentSpec{}, ErrCommentParent
		}
		spec.Parent = CommentID(parent)
	default:
		return CommentSpec{}, ErrCommentParent
	}
	return spec, nil
}

// CommentPage is which comments of a record are asked for.
type CommentPage struct {
	Size   int
	Before int64 // the number that they are below; 0: the newest first
}

// ParseCommentPage reads the query of a list of comments.
func ParseCommentPage(rawQuery string, record RecordID) (CommentPage, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return CommentPage{}, ErrInvalidRequest
	}
	p := CommentPage{Size: MaxPage}
	if size := query.Get("pageSize"); size != "" {
		if p.Size, err = strconv.Atoi(size); err != nil || p.Size < 1 || p.Size > MaxPage {
			return CommentPage{}, ErrInvalidRequest
		}
	}
	if offset := query.Get("offset"); offset != "" {
		if p.Before = readCommentOffset(offset, record); p.Before <= 0 {
			return CommentPage{}, InvalidOffset(offset)
		}
	}
	return p, nil
}

// CommentOffset is the token of the page behind the comment, written itr…/com….
func CommentOffset(c Comment) string { return commentOffset(c.Number, c.Record) }

func commentOffset(n int64, record RecordID) string {
	place := digits(n, idLength)
	return "itr" + checksum("comments", string(record), place) + "AAAAAA/com" + place
}

// readCommentOffset returns 0 for what is no token of the record's.
func readCommentOffset(offset string, record RecordID) int64 {
	_, place, _ := strings.Cut(offset, "/com")
	n, ok := number(place)
	if !ok || len(place) != idLength || offset != commentOffset(n, record) {
		return 0
	}
	return n
}

var mention = regexp.MustCompile(`@\[(usr[A-Za-z0-9]{1,61})\]`)

// Mentions are the people whom the text names, each once.
func (c Comment) Mentions() []PersonID {
	var out []PersonID
	for _, m := range mention.FindAllStringSubmatch(c.Text, -1) {
		if who := PersonID(m[1]); !slices.Contains(out, who) {
			out = append(out, who)
		}
	}
	return out
}

// Wire is the comment as Airtable shows it. Who is not in people is not mentioned:
// what Airtable shows of a mention of a stranger is unconfirmed.
func (c Comment) Wire(people *People) map[string]any {
	out := map[string]any{
		"id": string(c.ID), "author": people.Of(c.Author).Wire(), "createdTime": Timestamp(c.CreatedAt),
		"lastUpdatedTime": nil, "text": c.Text,
	}
	if !c.UpdatedAt.IsZero() {
		out["lastUpdatedTime"] = Timestamp(c.UpdatedAt)
	}
	if c.Parent != "" {
		out["parentCommentId"] = string(c.Parent)
	}
	mentioned := map[string]any{}
	for _, who := range c.Mentions() {
		p := people.Named(who)
		if p.User.IsZero() {
			continue
		}
		entry := map[string]any{"type": "user", "id": string(who), "displayName": p.Called()}
		if p.Email != "" {
			entry["email"] = p.Email
		}
		mentioned[string(who)] = entry
	}
	if len(mentioned) > 0 {
		out["mentioned"] = mentioned
	}
	return out
}
