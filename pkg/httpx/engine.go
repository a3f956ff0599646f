package httpx

import "github.com/gin-gonic/gin"

// NewEngine returns a Gin engine without Gin's own logger and without its
// redirects: paths reach the handlers as they were sent.
func NewEngine() *gin.Engine {
	// Gin keeps its mode for the whole process. Every engine here wants the same
	// one: the other prints each route to standard output.
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.UseRawPath, r.UnescapePathValues = true, true
	r.ContextWithFallback = true
	_ = r.SetTrustedProxies(nil) // addresses are the gateway's business
	return r
}
