package handlers

import (
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// Listen handles every event that the service cares for.
func Listen(c *events.Consumer, repo *repository.Repository) {
	events.On(c, userapi.UserDeleted, repo.UserDeleted)
	events.On(c, tenantapi.TenantCreated, repo.TenantChanged)
	events.On(c, tenantapi.TenantUpdated, repo.TenantChanged)
	events.On(c, tenantapi.TenantDeleted, repo.TenantChanged)
	events.On(c, tenantapi.MemberAdded, repo.MemberChanged)
	events.On(c, tenantapi.MemberUpdated, repo.MemberChanged)
	events.On(c, tenantapi.MemberRemoved, repo.MemberChanged)
}
