package models

import "github.com/pyairtable/pyairtable/pkg/id"

// EndSessions says which of a user's sessions a change ends.
type EndSessions struct {
	All    bool
	Except id.SessionID // one to spare
}
