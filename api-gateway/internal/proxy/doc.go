// Package proxy carries a client's request to one of the addresses of a service and
// the answer back.
//
// The common request (a short body of known length, no upgrade, no trailers) travels on
// the handler's own goroutine: it is written to a pooled connection, and the answer is
// read from it, with no hand-over between goroutines. A request that needs more is
// served by net/http's ReverseProxy and Transport, and an answer that is anything but
// plain is parsed by net/http's ReadResponse, so both ways behave alike towards client
// and service; a differential test holds them together.
package proxy
