// Package auditapi says what audit-service offers.
package auditapi
