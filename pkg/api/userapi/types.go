package userapi

import (
	"encoding/json"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// User is a profile. What is marked read-only may be sent back with an update,
// and is ignored there.
type User struct {
	ID       string `json:"id,omitempty" format:"uuid" readOnly:"true"`
	TenantID string `json:"tenant_id,omitempty" format:"uuid" readOnly:"true" doc:"The tenant that the account was made in: the user's personal one, if he registered himself."`
	Email    string `json:"email,omitempty" readOnly:"true" doc:"A copy of the account's address. Absent for the moment that it may take to arrive after registering."`
	Profile
	Version   int64     `json:"version,omitempty" readOnly:"true" doc:"Rises with every change; the ETag is made of it."`
	CreatedAt time.Time `json:"created_at,omitzero" readOnly:"true"`
	UpdatedAt time.Time `json:"updated_at,omitzero" readOnly:"true"`
}

// Profile is what a user may change.
type Profile struct {
	Name      string `json:"name" maxLength:"200" example:"Ada Lovelace"`
	AvatarURL string `json:"avatar_url" required:"false" maxLength:"2048" example:"https://example.com/ada.png" doc:"http or https; empty for none."`
	Locale    string `json:"locale" required:"false" maxLength:"64" example:"en-GB" doc:"A language tag (BCP 47); en by default."`
	TimeZone  string `json:"time_zone" required:"false" maxLength:"64" example:"Europe/London" doc:"A name of the IANA time zone database; UTC by default."`
	// Preferences are shown to those who may edit them.
	Preferences map[string]json.RawMessage `json:"preferences,omitzero" doc:"Whatever a client wants to remember for the user, 16 KiB and 8 levels at the most. Shown to those who may change it."`
}

// ProfilePatch is a JSON merge patch (RFC 7396) of a Profile: what is absent
// stays, what is null goes back to its default. Preferences are merged key by key.
type ProfilePatch struct {
	Name        *string                    `json:"name,omitempty" nullable:"true" maxLength:"200"`
	AvatarURL   *string                    `json:"avatar_url,omitempty" nullable:"true" maxLength:"2048"`
	Locale      *string                    `json:"locale,omitempty" nullable:"true" maxLength:"64"`
	TimeZone    *string                    `json:"time_zone,omitempty" nullable:"true" maxLength:"64"`
	Preferences map[string]json.RawMessage `json:"preferences,omitempty" doc:"A key with null is removed, at every level; null for the whole removes all."`

	// NoPreferences stands for "preferences": null.
	NoPreferences bool `json:"-"`
}

// UnmarshalJSON keeps null apart from absent, which encoding/json does not.
func (p *ProfilePatch) UnmarshalJSON(b []byte) error {
	type plain ProfilePatch
	if err := json.Unmarshal(b, (*plain)(p)); err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil {
		return err
	}
	for name, field := range map[string]**string{
		"name": &p.Name, "avatar_url": &p.AvatarURL, "locale": &p.Locale, "time_zone": &p.TimeZone,
	} {
		if _, ok := given[name]; ok && *field == nil {
			*field = new(string)
		}
	}
	_, ok := given["preferences"]
	p.NoPreferences = ok && p.Preferences == nil
	return nil
}

// MarshalJSON is the way back.
func (p ProfilePatch) MarshalJSON() ([]byte, error) {
	type plain ProfilePatch
	if !p.NoPreferences {
		return json.Marshal(plain(p))
	}
	return json.Marshal(struct {
		plain
		Preferences *struct{} `json:"preferences"`
	}{plain: plain(p)})
}

// UserAnswer is a profile with its ETag, to be sent as If-Match with an update.
type UserAnswer struct {
	ETag string `header:"ETag"`
	Body User
}

// UserRef names a user.
type UserRef struct {
	ID string `path:"id" format:"uuid"`
}

// Precondition makes an update fail if the profile is not the one that was read.
type Precondition struct {
	IfMatch string `header:"If-Match" required:"false" maxLength:"1000" doc:"An ETag; without it the last update wins."`
}

// MeUpdate replaces the caller's profile. Fields that are absent get their default.
type MeUpdate struct {
	Precondition
	Body User
}

// MePatch changes some of the caller's profile.
type MePatch struct {
	Precondition
	Body ProfilePatch
}

// UserUpdate replaces a profile. Fields that are absent get their default.
type UserUpdate struct {
	UserRef
	Precondition
	Body User
}

// UserPatch changes some of a profile.
type UserPatch struct {
	UserRef
	Precondition
	Body ProfilePatch
}

// UserDelete names the user to delete.
type UserDelete struct {
	UserRef
	Precondition
}

// UsersQuery narrows the list of users.
type UsersQuery struct {
	api.PageQuery
	Q string `query:"q" maxLength:"200" doc:"A part of the name or of the address, in any case."`
}

// UserIDs names users.
type UserIDs struct {
	IDs []string `json:"ids" minItems:"1" maxItems:"100" nullable:"false"`
}

// UserCard is what other services may keep of a user, until they hear of his
// deletion.
type UserCard struct {
	ID      string `json:"id" format:"uuid"`
	Email   string `json:"email,omitempty"`
	Name    string `json:"name"`
	Version int64  `json:"version" doc:"The profile's, as in its events."`
	Deleted bool   `json:"deleted,omitempty" doc:"The user was erased; there is nothing else to say of him."`
}

// UserCards are the answer of LookUpUsers.
type UserCards struct {
	Items []UserCard `json:"items"`
}

// UserPage is the answer of ListUsers.
type UserPage = api.Page[User]
