// Package origin says where a request came from: who made it, with which token,
// from which address and program. Like the trace it travels in the context, for
// those who record it: events carry it, the audit log keeps it. It is no way to
// find out who is asking; that is auth.Principal, an argument.
package origin

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

// Origin is where a request came from. Its JSON members are extension attributes of
// CloudEvents: short names of lower-case letters, strings all.
type Origin struct {
	User    string `json:"userid,omitempty"`    // who asks, or in whose name
	Actor   string `json:"actor,omitempty"`     // who acts for him: service:NAME
	Session string `json:"sessionid,omitempty"` // of the user
	Token   string `json:"tokenid,omitempty"`   // the personal access token that was used
	IP      string `json:"clientip,omitempty"`  // as the API gateway saw it
	Agent   string `json:"useragent,omitempty"` // as the client calls itself
	Request string `json:"requestid,omitempty"`
}

type key struct{}

// Into returns a context that carries o.
func Into(ctx context.Context, o Origin) context.Context { return context.WithValue(ctx, key{}, o) }

// From is what the context carries; zero for work that no request caused.
func From(ctx context.Context) Origin {
	o, _ := ctx.Value(key{}).(Origin)
	return o
}

const maxAgent = 300

// Of reads address and program off a request.
func Of(r *http.Request) Origin { return Origin{IP: clientIP(r), Agent: Agent(r)} }

// clientIP is the address that the gateway has seen. X-Forwarded-For is believed
// from neighbours only, and read from its end up to the first address that is
// not one, since everything before that was written by the client.
func clientIP(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	ip := peer.Addr().Unmap().WithZone("")
	if !neighbour(ip) {
		return ip.String()
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(chain) - 1; i >= 0 && neighbour(ip); i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(chain[i]))
		if err != nil {
			break
		}
		ip = a.Unmap().WithZone("")
	}
	return ip.String()
}

func neighbour(a netip.Addr) bool { return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() }

// Agent is how the client calls itself, cleaned and cut, to be shown to people.
func Agent(r *http.Request) string {
	ua := strings.ToValidUTF8(r.UserAgent(), "")
	ua = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, ua)
	if len(ua) > maxAgent {
		ua = strings.ToValidUTF8(ua[:maxAgent], "")
	}
	return ua
}
