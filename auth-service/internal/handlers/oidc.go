package handlers

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/auth-service/internal/provider"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// The secrets of a flow travel with the browser, sealed: that binds the flow to
// the browser that began it, and needs no table.
const (
	flowCookie = "pyairtable_oidc"
	flowTTL    = 10 * time.Minute
)

func (h handlers) listProviders(context.Context, auth.Principal, none) (authapi.Providers, error) {
	return authapi.Providers{Items: convert(h.Providers, func(p *provider.Provider) authapi.Provider {
		return authapi.Provider{Name: p.Name(), StartURL: oidcPath + p.Name() + "/start"}
	})}, nil
}

var oidcPath = authapi.Service.Raw[0].Prefix

// oidc serves /{provider}/start and /{provider}/callback.
func (h handlers) oidc(c *gin.Context) {
	name, step, _ := strings.Cut(strings.TrimPrefix(c.Request.URL.Path, oidcPath), "/")
	p := h.provider(name)
	switch {
	case p == nil || c.Request.Method != http.MethodGet:
		httpx.Fail(c, errs.ErrNotFound)
	case step == "start":
		h.oidcStart(c, p)
	case step == "callback":
		h.oidcCallback(c, p)
	default:
		httpx.Fail(c, errs.ErrNotFound)
	}
}

func (h handlers) provider(name string) *provider.Provider {
	for _, p := range h.Providers {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

func (h handlers) oidcStart(c *gin.Context, p *provider.Provider) {
	s := provider.NewSecrets(h.Now().Add(flowTTL))
	url, err := p.StartURL(c.Request.Context(), s)
	if err != nil {
		httpx.Fail(c, errs.ErrUnavailable.Because(err))
		return
	}
	plain, err := json.Marshal(s)
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	sealed, err := h.Box.Seal(plain, flowContext(p))
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	h.setFlow(c, base64.RawURLEncoding.EncodeToString(sealed), flowTTL)
	c.Redirect(http.StatusFound, url)
}

func (h handlers) oidcCallback(c *gin.Context, p *provider.Provider) {
	s, err := h.flow(c, p)
	h.setFlow(c, "", -1)
	if err != nil {
		httpx.Fail(c, authapi.ErrBadOIDCState.Because(err))
		return
	}
	if said := c.Query("error"); said != "" {
		httpx.Fail(c, authapi.ErrProviderFailed.Because(errors.New(said)))
		return
	}
	who, err := p.Finish(c.Request.Context(), c.Query("code"), s)
	if err != nil {
		httpx.Fail(c, authapi.ErrProviderFailed.Because(err))
		return
	}
	in, err := h.Auth.LoginOIDC(c.Request.Context(), who, device(c.Request.Context()))
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, loginAnswer(in))
}

// flow reads the secrets of the flow that this browser began.
func (h handlers) flow(c *gin.Context, p *provider.Provider) (provider.Secrets, error) {
	var s provider.Secrets
	cookie, err := c.Request.Cookie(flowCookie)
	if err != nil {
		return s, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return s, err
	}
	plain, err := h.Box.Open(sealed, flowContext(p))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		return s, err
	}
	if subtle.ConstantTimeCompare([]byte(s.State), []byte(c.Query("state"))) != 1 {
		return s, errors.New("state of another flow")
	}
	if h.Now().After(s.Expires) {
		return s, errors.New("the flow took too long")
	}
	return s, nil
}

func (h handlers) setFlow(c *gin.Context, value string, ttl time.Duration) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: flowCookie, Value: value, Path: oidcPath, MaxAge: seconds(ttl), HttpOnly: true, Secure: h.Secure,
		SameSite: http.SameSiteLaxMode, // the provider's redirect back is a cross-site navigation
	})
}

func flowContext(p *provider.Provider) []byte { return []byte("oidc_flow/" + p.Name()) }
