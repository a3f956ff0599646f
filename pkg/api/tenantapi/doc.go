// Package tenantapi declares what tenant-service offers: organisations and the
// personal tenants of users, their members, and what announces changes of both.
//
// A token is for one tenant. What lies under /api/v1/tenants/{tenant_id} is open to
// tokens of that tenant only, and 404 to all others, members included: they switch to
// it at auth-service first, where its rules for signing in are enforced.
package tenantapi
