// Package models holds what the gateway knows about Airtable without any I/O:
// ids, field types and what a cell of each accepts, the schema of a base, list
// and write requests, and the shapes of Airtable's errors. It is the local base
// store's rule book.
package models
