package logging

import "context"

type requestKey struct{}

// WithRequestID returns a context that carries the id of the request being
// served, to be passed on to the services that it calls.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestID is the id of the request being served, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
