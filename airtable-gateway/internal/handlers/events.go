package handlers

import (
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// Listen hears what other services say about the people who may be named in bases.
func Listen(c *events.Consumer, d *repository.Directory) {
	events.On(c, authapi.UserRegistered, d.Registered)
	events.On(c, authapi.EmailVerified, d.EmailVerified)
	events.On(c, userapi.ProfileCreated, d.ProfileCreated)
	events.On(c, userapi.UserUpdated, d.UserUpdated)
	events.On(c, userapi.UserDeleted, d.UserDeleted)
}
