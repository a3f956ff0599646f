// Package api says, without any web framework, what a service offers: its
// operations, each declared once as an Op. Servers (package httpx), clients
// (package rpc), the gateway's routes and the OpenAPI document come from it.
package api

import (
	"reflect"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Access says who may call an operation.
type Access int

const (
	// User admits a verified token of a user. It is the zero value: an operation
	// that says nothing is closed.
	User Access = iota
	// Public admits everybody; a valid token is still read if there is one.
	Public
	// Internal admits the tokens of the operation's Callers only, and is never routed by
	// the gateway.
	Internal
	// InternalPublic admits everybody who reaches the service's own port, and is
	// never routed by the gateway: for operations that check a credential of
	// their own, as the one that hands out service tokens must.
	InternalPublic
	// Own admits everybody, and its requests keep their Authorization as it was sent,
	// gateway included: for raw routes that check credentials which are not the fleet's.
	Own
)

// Routed reports whether the gateway routes operations of this access.
func (a Access) Routed() bool { return a == User || a == Public || a == Own }

// Op declares one operation, with In and Out as its request and answer.
//
// In and Out follow one rule. A struct with a field Body, or with any field
// tagged path, query or header, is an envelope: the tagged fields are parameters
// and Body is the JSON body. Any other struct is the JSON body itself, and
// struct{} is nothing at all.
type Op[In, Out any] struct {
	Name   string // operationId and metric label: lowerCamelCase, unique in the fleet
	Method string
	Path   string // in OpenAPI's form: /api/v1/users/{id}
	Status int    // of success; 0 is 200
	Access Access
	// Callers are the services that may call an Internal operation. Operators call with
	// the credentials of the service itself, if it is one of them.
	Callers []string
	// Scope of a personal access token that opens the operation. Without one,
	// personal access tokens are refused.
	Scope      string
	Idempotent bool          // honours Idempotency-Key
	Rate       string        // the gateway's rate class; "" is the default one
	Timeout    time.Duration // 0 is DefaultTimeout
	BodyLimit  int64         // bytes; 0 is DefaultBodyLimit

	Summary     string
	Description string
	Tag         string        // heading in the documentation; "" is the service's title
	Errors      []*errs.Error // what it may answer beside the general errors
}

// AnyService among the callers of an operation stands for all services: for what gives
// them no more than they have, or is there for each of them.
const AnyService = "*"

// Admits reports whether the service may call the Internal operation.
func (s Spec) Admits(service string) bool {
	return slices.Contains(s.Callers, AnyService) || slices.Contains(s.Callers, service)
}

// Limits of an operation that states none.
const (
	DefaultTimeout         = 30 * time.Second
	DefaultBodyLimit int64 = 1 << 20
)

// RateAuth is the rate class of operations that check a password or send mail.
const RateAuth = "auth"

// Spec is an Op without its types, for lists of operations.
type Spec struct {
	Name, Method, Path   string
	Status               int
	Access               Access
	Callers              []string
	Scope                string
	Idempotent           bool
	Rate                 string
	Timeout              time.Duration
	BodyLimit            int64
	Summary, Description string
	Tag                  string
	Errors               []*errs.Error
	In, Out              reflect.Type
}

// Spec returns o without its types, the defaults filled in.
func (o Op[In, Out]) Spec() Spec {
	s := Spec{
		Name: o.Name, Method: o.Method, Path: o.Path, Status: o.Status, Access: o.Access, Callers: o.Callers, Scope: o.Scope,
		Idempotent: o.Idempotent, Rate: o.Rate, Timeout: o.Timeout, BodyLimit: o.BodyLimit,
		Summary: o.Summary, Description: o.Description, Tag: o.Tag, Errors: o.Errors,
		In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](),
	}
	if s.Status == 0 {
		s.Status = 200
	}
	if s.Timeout == 0 {
		s.Timeout = DefaultTimeout
	}
	if s.BodyLimit == 0 {
		s.BodyLimit = DefaultBodyLimit
	}
	return s
}

// RawRoute declares a whole path prefix whose requests a service answers by
// itself, since no Op describes them: the Airtable surface, a redirect, a stream.
type RawRoute struct {
	Prefix    string // ends in "/", unless it is one exact path
	Access    Access
	Rate      string
	Timeout   time.Duration // 0 is DefaultTimeout
	BodyLimit int64         // bytes; 0 is DefaultBodyLimit
	Summary   string
}

// Service declares a service: where it listens, what it owns and what it offers.
type Service struct {
	Name     string // directory and binary: auth-service
	Title    string
	Port     int
	Database string   // "" for none
	Phase    int      // of the customer's plan: 1, 2 or 3
	Needs    []string // services that it calls synchronously
	Streams  []string // that its events travel on; audit-service records all of them
	Ops      []Spec
	Raw      []RawRoute
}
