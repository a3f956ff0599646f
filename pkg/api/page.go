package api

// PageQuery is embedded in the input of every list.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at the most."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"The next_cursor of the page before."`
}

// Page is the answer of every list. Items is never null.
type Page[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Absent on the last page."`
}
