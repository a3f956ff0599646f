// Package handlers serves the operations of userapi and hears what other services
// say about users.
package handlers

import (
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/user-service/internal/repository"
	"github.com/pyairtable/pyairtable/user-service/internal/services"
)

// Register serves every operation of userapi on a.
func Register(a *httpx.API, s *services.Users) {
	u := users{s}
	httpx.Handle(a, userapi.GetMe, u.me)
	httpx.Handle(a, userapi.ReplaceMe, u.replaceMe)
	httpx.Handle(a, userapi.PatchMe, u.patchMe)
	httpx.Handle(a, userapi.ListUsers, u.list)
	httpx.Handle(a, userapi.GetUser, u.user)
	httpx.Handle(a, userapi.ReplaceUser, u.replace)
	httpx.Handle(a, userapi.PatchUser, u.patch)
	httpx.Handle(a, userapi.DeleteUser, u.delete)
	httpx.Handle(a, userapi.LookUpUsers, u.lookUp)
}

// Listen consumes the events that concern users, and who is in a tenant with whom.
func Listen(c *events.Consumer, r *repository.Repository) {
	events.On(c, authapi.UserRegistered, r.Registered)
	events.On(c, tenantapi.MemberAdded, r.MemberChanged)
	events.On(c, tenantapi.MemberUpdated, r.MemberChanged)
	events.On(c, tenantapi.MemberRemoved, r.MemberChanged)
	events.On(c, tenantapi.TenantDeleted, r.TenantDeleted)
}
