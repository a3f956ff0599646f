package handlers

import (
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// Listen handles every event that the service cares for.
func Listen(c *events.Consumer, repo *repository.Repository) {
	events.On(c, userapi.UserDeleted, repo.UserDeleted)
}
