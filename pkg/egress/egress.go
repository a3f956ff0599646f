// Package egress is the way out to addresses that clients name: the URLs of
// webhook pings, of files to attach, of collectors of the audit log. It lets requests go to public addresses
// alone, so that nobody makes this service ask its own network on his behalf.
//
// The address is judged when it is dialled, after its name was resolved: a name
// that points inside, or that points elsewhere the second time, is refused like
// the address itself. Redirects are dialled and judged alike.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// ErrRefused is in the chain of the error of a request to an address that is not
// public and not allowed.
var ErrRefused = errors.New("the address is not a public one")

// ErrURL says that a text is no URL that a Guard would ask.
var ErrURL = errors.New("want an absolute http or https URL without user and password")

// Guard knows which addresses may be asked. The zero value lets public ones alone
// pass.
type Guard struct{ allowed []netip.Prefix }

// Parse reads the networks that may be asked although they are not public:
// comma-separated, each an address (192.168.1.7) or a prefix (10.0.0.0/8, fd00::/8).
func Parse(list string) (Guard, error) {
	var g Guard
	for entry := range strings.SplitSeq(list, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(entry)
		if err != nil {
			addr, addrErr := netip.ParseAddr(entry)
			if addrErr != nil || addr.Zone() != "" {
				return Guard{}, fmt.Errorf("%q is neither an address nor a network as in 10.0.0.0/8", entry)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		g.allowed = append(g.allowed, prefix.Masked())
	}
	return g, nil
}

// Options bound what a Client does.
type Options struct {
	Timeout   time.Duration // of the whole exchange, the body included
	Redirects int           // that are followed; beyond, the redirect itself is the answer
}

const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 30 * time.Second
	mostHeaders    = 64 << 10
	mostIdle       = 32
)

// Client returns a client that asks nobody whom the Guard refuses. It uses no
// proxy, keeps no cookies, and leaves it to the caller how much of a body he reads.
func (g Guard) Client(o Options) *http.Client {
	dialer := g.Dialer()
	return &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    connectTimeout,
			MaxResponseHeaderBytes: mostHeaders,
			MaxIdleConns:           mostIdle,
			IdleConnTimeout:        idleTimeout,
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > o.Redirects {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// Dialer connects to nobody whom the Guard refuses.
func (g Guard) Dialer() *net.Dialer {
	return &net.Dialer{Timeout: connectTimeout, ControlContext: g.control}
}

// CheckURL refuses what Client could never ask: another scheme, no host, a user
// in it, or an address that is refused whatever its name. A host name passes; it
// is judged when it is dialled. The error is ErrURL or ErrRefused.
func (g Guard) CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return ErrURL
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !g.Admits(addr) {
		return ErrRefused
	}
	return nil
}

// control is called with the resolved address before it is connected to.
func (g Guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !g.Admits(to.Addr()) {
		return fmt.Errorf("%s: %w", address, ErrRefused)
	}
	return nil
}

// Admits reports whether the address is public or allowed.
func (g Guard) Admits(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range g.allowed {
		if p.Contains(addr) {
			return true
		}
	}
	return public(addr)
}

// public follows the registries of special-purpose addresses (RFC 6890 and after).
// Of IPv6 only what is given out as global unicast counts, less the parts of it
// that stand for something else.
func public(addr netip.Addr) bool {
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return addr.IsValid()
}

var globalUnicast = netip.MustParsePrefix("2000::/3")

var special = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // behind a carrier's NAT; some clouds' metadata
	"127.0.0.0/8",     // loopback
	"168.63.129.16",   // a cloud's host agent, on an address that looks public
	"169.254.0.0/16",  // link-local; the clouds' metadata
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments; a cloud's metadata
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/3",     // multicast, reserved, broadcast
	"2001::/23",       // protocol assignments, Teredo among them
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4: an IPv4 address in disguise
	"3fff::/20",       // documentation
)

func prefixes(list ...string) []netip.Prefix {
	g, err := Parse(strings.Join(list, ","))
	if err != nil {
		panic(err)
	}
	return g.allowed
}
