// Package userapi declares what user-service offers: the profiles of users.
//
// Who somebody is, and what he signs in with, is auth-service's; a profile is
// what he says about himself. A profile exists as soon as anybody asks for the
// one of a user who has a token, and at the latest when auth-service's
// registration event arrives. A user of another tenant does not exist for a
// caller.
package userapi
