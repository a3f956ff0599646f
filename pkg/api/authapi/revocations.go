package authapi

import "encoding/json"

// Revocations travel by Redis, so that whoever holds verified tokens in memory
// hears of them within a second, and finds what it missed when it (re)connects:
// subscribe first, read the set next.
const (
	// RevocationsChannel carries each Revocation as JSON when it happens. One may
	// be told more than once.
	RevocationsChannel = "auth:revocations"
	// RevokedSet is the sorted set of all that are to be remembered, by
	// Revocation.Member, with Until as the score.
	RevokedSet = "auth:revoked"
)

// Revocation says that tokens which name a session (sid), a personal access
// token (pat) or a user (sub) are worthless; one of the three is set. After Until,
// in seconds of Unix time, the last such token has expired by itself. One that was
// made of a personal access token and expires after Until was made after the
// revocation, and is good: auth-service has looked at what had changed.
type Revocation struct {
	Session string `json:"sid,omitempty"`
	Token   string `json:"pat,omitempty"`
	User    string `json:"user,omitempty"`
	Until   int64  `json:"until"`
}

// Member is the revocation's name in RevokedSet: sid:, pat: or user: and the id.
func (r Revocation) Member() string {
	switch {
	case r.Session != "":
		return "sid:" + r.Session
	case r.Token != "":
		return "pat:" + r.Token
	}
	return "user:" + r.User
}

// JSON is the revocation as the channel carries it.
func (r Revocation) JSON() []byte {
	b, _ := json.Marshal(r) // three strings and a number cannot fail
	return b
}
