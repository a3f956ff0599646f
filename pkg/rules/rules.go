// Package rules holds the house rules of this repository as tests; see
// docs/contributing.md. It has no other content.
package rules
