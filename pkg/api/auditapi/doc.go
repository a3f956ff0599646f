// Package auditapi says what audit-service offers: a record of every event of every
// service and of every refused request that can be searched, exported, forwarded and
// proved.
//
// Each tenant has a log of its own. Its entries are numbered from 0; the entry's hash is
// a leaf of a Merkle tree as in RFC 9162 and a link of a chain; tree heads are signed.
package auditapi
