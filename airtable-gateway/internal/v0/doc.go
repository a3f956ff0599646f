// Package v0 reads requests of the Airtable Web API: it takes the path apart as
// Airtable does (on the escaped form, so that names may hold slashes), says which
// operation it is and what a token needs for it, and writes Airtable's own error
// bodies. It does no I/O and knows no upstream.
package v0
