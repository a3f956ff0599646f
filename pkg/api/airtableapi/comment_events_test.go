package airtableapi_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
)

// The samples are what other services, of another version maybe, read.
func TestCommentEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	const whole = `{"base_id":"b","table_id":"t","record_id":"r","comment_id":"c","parent_comment_id":"p","author_id":"a","text":"Hi @[usrA]","mentioned_user_ids":["u"]}`
	eventstest.Sample(t, airtableapi.CommentCreated, whole)
	eventstest.Sample(t, airtableapi.CommentUpdated, whole)
	eventstest.Sample(t, airtableapi.CommentDeleted, `{"base_id":"b","table_id":"t","record_id":"r","comment_id":"c","author_id":"a","mentioned_user_ids":[]}`)
}
