package handlers

import (
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
	"github.com/pyairtable/pyairtable/user-service/internal/services"
)

func answer(v services.View, err error) (userapi.UserAnswer, error) {
	if err != nil {
		return userapi.UserAnswer{}, err
	}
	return userapi.UserAnswer{ETag: etag.Of(v.Version), Body: user(v)}, nil
}

func user(v services.View) userapi.User {
	u := userapi.User{
		ID: v.ID.String(), TenantID: v.Tenant.String(), Email: v.Email,
		Profile: userapi.Profile{Name: v.Name, AvatarURL: v.AvatarURL, Locale: v.Locale, TimeZone: v.TimeZone},
		Version: v.Version, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
	if v.Editable {
		u.Preferences = v.Preferences
	}
	return u
}

// replacement gives what is absent its default.
func replacement(u userapi.User) services.Change {
	preferences := models.Preferences(u.Preferences)
	if preferences == nil {
		preferences = models.Preferences{}
	}
	return services.Change{
		Name: &u.Name, AvatarURL: &u.AvatarURL, Locale: &u.Locale, TimeZone: &u.TimeZone,
		Preferences: preferences, Replace: true,
	}
}

func patch(p userapi.ProfilePatch) services.Change {
	ch := services.Change{
		Name: p.Name, AvatarURL: p.AvatarURL, Locale: p.Locale, TimeZone: p.TimeZone,
		Preferences: p.Preferences, Replace: p.NoPreferences,
	}
	if p.NoPreferences {
		ch.Preferences = models.Preferences{}
	}
	return ch
}

// userID reads the id of a path. One that is no id names nobody.
func userID(ref userapi.UserRef) (id.UserID, error) {
	user, err := id.Parse[id.User](ref.ID)
	if err != nil {
		return user, userapi.ErrUserNotFound.Because(err)
	}
	return user, nil
}
