// Package authapi declares what auth-service offers: accounts, sessions, second
// factors, personal access tokens, sign-in with other providers, and the tokens
// of services.
//
// Everything under /internal/ is for other services and never routed by the
// gateway.
package authapi
