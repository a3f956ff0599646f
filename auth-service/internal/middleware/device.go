// Package middleware notes where a request comes from, which limits on sign-ins
// and the list of sessions need.
package middleware

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
)

const maxUserAgent = 300

type deviceKey struct{}

// Device puts the request's models.Device into its context.
func Device(c *gin.Context) {
	d := models.Device{IP: clientIP(c.Request), UserAgent: userAgent(c.Request)}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), deviceKey{}, d))
	c.Next()
}

// DeviceOf is what Device noted.
func DeviceOf(ctx context.Context) models.Device {
	d, _ := ctx.Value(deviceKey{}).(models.Device)
	return d
}

// clientIP is the address that the gateway has seen. X-Forwarded-For is believed
// from neighbours only, and read from its end up to the first address that is
// not one, since everything before that was written by the client.
func clientIP(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	ip := peer.Addr().Unmap().WithZone("")
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

// userAgent is shown to the user in the list of sessions.
func userAgent(r *http.Request) string {
	ua := strings.ToValidUTF8(r.UserAgent(), "")
	ua = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, ua)
	if len(ua) > maxUserAgent {
		ua = strings.ToValidUTF8(ua[:maxUserAgent], "")
	}
	return ua
}
