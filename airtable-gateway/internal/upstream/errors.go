package upstream

import "errors"

// ErrNotSent is wrapped by an error of Do when the request certainly did not reach
// the other side, so that repeating it is safe whatever it was.
var ErrNotSent = errors.New("the request was not sent")
