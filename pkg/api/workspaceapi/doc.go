// Package workspaceapi says what workspace-service offers.
//
// A workspace holds projects and bases; a project orders some of its workspace's bases.
// A base is linked from a connection of airtable-gateway, which keeps what is in it, and
// is in one workspace at the most. What of all this a caller may see and do is decided by
// permission-service: what he may not see does not exist for him (404).
package workspaceapi
