// Package airtableapi is what airtable-gateway offers: the tenant's bases, tables
// and records in the house's REST form, the connections they are reached through,
// and the Airtable Web API itself under /v0.
//
// A base is reached through a connection: an Airtable account, whose token the
// service keeps sealed and never gives out, or the base store in the service's own
// database. Bases and tables of another tenant do not exist for a caller.
package airtableapi
