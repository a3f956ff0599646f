// Package clientip finds out which address a request came from. What a header says of
// that is believed only as far as the proxies that wrote it are known.
package clientip

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Finder knows the trusted proxies. The zero value trusts none.
type Finder struct{ trusted []netip.Prefix }

// New trusts the proxies in the given networks or single addresses.
func New(trusted []string) (Finder, error) {
	var f Finder
	for _, s := range trusted {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err2 := netip.ParseAddr(s)
			if err2 != nil {
				return Finder{}, fmt.Errorf("trusted proxy %q: neither an address nor a network", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		f.trusted = append(f.trusted, p.Masked())
	}
	return f, nil
}

// Origin is where a request came from, and what to tell the services about it.
type Origin struct {
	IP    netip.Addr // the client's
	For   string     // X-Forwarded-For
	Host  string     // X-Forwarded-Host
	Proto string     // X-Forwarded-Proto
}

// Of returns the origin of r. The client is the last address of X-Forwarded-For that no
// trusted proxy owns; an entry that cannot be read ends the walk.
func (f Finder) Of(r *http.Request) Origin {
	o := Origin{IP: peer(r.RemoteAddr), Host: r.Host, Proto: "http"}
	if r.TLS != nil {
		o.Proto = "https"
	}
	if len(f.trusted) == 0 || !f.trusts(o.IP) {
		o.For = host(r.RemoteAddr, o.IP)
		return o
	}
	chain := strings.Join(r.Header["X-Forwarded-For"], ",")
	o.For = o.IP.String()
	if chain != "" {
		o.For = chain + ", " + o.For
	}
	if h := r.Header.Get("X-Forwarded-Host"); h != "" {
		o.Host = h
	}
	if p := r.Header.Get("X-Forwarded-Proto"); p == "http" || p == "https" {
		o.Proto = p
	}
	for chain != "" {
		i := strings.LastIndexByte(chain, ',')
		entry := strings.TrimSpace(chain[i+1:])
		chain = chain[:max(i, 0)]
		a := entryAddr(entry)
		if !a.IsValid() {
			break
		}
		o.IP = a
		if !f.trusts(a) {
			break
		}
	}
	return o
}

func (f Finder) trusts(a netip.Addr) bool {
	for _, p := range f.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func peer(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.IPv4Unspecified()
	}
	return ap.Addr().Unmap().WithZone("")
}

// host is the address as text, cut out of remote where that has it already.
func host(remote string, a netip.Addr) string {
	if a.Is4() && len(remote) > 0 && remote[0] != '[' {
		return remote[:strings.LastIndexByte(remote, ':')]
	}
	return a.String()
}

// entryAddr reads one entry, with or without a port.
func entryAddr(s string) netip.Addr {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone("")
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
