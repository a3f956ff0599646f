// Package policy stands between callers and bases: it decides what a caller may do with
// a base and its tables, and shows him no more than he may see of it.
//
// Decisions are those of pkg/permit. Where masks, row rules or grants of single tables
// hold in a base, a Sight is made of them and the base's schema, and calls and answers
// pass through it. It stands above caches and batches: what these keep and share is
// whole, and each caller gets his own part of it. In this one place
//
//   - names become ids, in paths, fields, sorts, filters and cells. Masks hold for ids,
//     so that no renaming unmasks anything, and answers are asked for by id;
//   - a masked field is an unknown field. So is every field that is computed from one,
//     from links into a table whose records are not all seen, or from a link into a table
//     whose primary field is masked. A time of last change that names no fields tells of all;
//   - row rules are joined to the caller's filter, so that pages and offsets are those of
//     the records that he sees. A single record is read as a list of one;
//   - links to records that are not seen are absent, and stay when the cell is written;
//   - who has masks or rules in a base does not change its schema and has no webhooks.
//
// A rule that does not fit its table lets no record through.
package policy
