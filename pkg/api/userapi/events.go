package userapi

import "github.com/pyairtable/pyairtable/pkg/events"

const (
	source = "/user-service"
	stream = "users"
)

// The events of profiles. The subject is the user's id, the tenant the one that
// the account was made in, and the version the profile's, which auth-service's
// events about the same user do not share. They carry no personal data: an event
// outlives an erasure, and who needs a name asks for it.
var (
	ProfileCreated = events.Type[ProfileCreatedData]{Name: "com.pyairtable.user.profile_created.v1", Source: source, Stream: stream}
	UserUpdated    = events.Type[UserUpdatedData]{Name: "com.pyairtable.user.updated.v1", Source: source, Stream: stream}
	// UserDeleted says that the user is gone for good and the profile's personal
	// data erased. Every service that hears it ends the user's sessions and forgets
	// what it knows about him. It is said once for a user, and nothing comes after it.
	UserDeleted = events.Type[UserDeletedData]{Name: "com.pyairtable.user.deleted.v1", Source: source, Stream: stream}
)

// ProfileCreatedData is the data of ProfileCreated.
type ProfileCreatedData struct {
	UserID   string `json:"user_id"`
	TenantID string `json:"tenant_id"`
}

// UserUpdatedData is the data of UserUpdated.
type UserUpdatedData struct {
	UserID   string `json:"user_id"`
	TenantID string `json:"tenant_id"`
	// Changed names the fields as in User.
	Changed []string `json:"changed"`
	// ActorID is the user who made the change; empty for the system.
	ActorID string `json:"actor_id,omitempty"`
}

// UserDeletedData is the data of UserDeleted.
type UserDeletedData struct {
	UserID   string `json:"user_id"`
	TenantID string `json:"tenant_id"`
	// ActorID is the user who asked for it.
	ActorID string `json:"actor_id,omitempty"`
}
