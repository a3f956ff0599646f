// Package tenantapi says what tenant-service offers.
package tenantapi
