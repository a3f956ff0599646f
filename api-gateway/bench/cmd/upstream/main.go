// Command upstream stands for every service behind the gateway. It is fasthttp, so that
// it costs as little as possible: 1 KiB for any path, 64 KiB for one that ends in 64k; a
// POST's body is read. It also publishes the key of mktoken's tokens.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"flag"
	"fmt"
	"log"
	"strings"

	"github.com/valyala/fasthttp"
)

func body(n int) []byte {
	s := `{"id":12345,"name":"widget","tags":["a","b"],"pad":"`
	return []byte(s + strings.Repeat("x", n-len(s)-2) + `"}`)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:9000", "")
	seed := flag.String("seed", "gwbench-ed25519-seed-32-bytes!!!", "of the key that signs tokens")
	flag.Parse()
	pub := ed25519.NewKeyFromSeed([]byte(*seed)).Public().(ed25519.PublicKey)
	jwks := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"ed","x":%q}]}`, base64.RawURLEncoding.EncodeToString(pub))
	b1, b64 := body(1024), body(65536)
	s := &fasthttp.Server{Name: "upstream", ReadBufferSize: 16384, MaxRequestBodySize: 8 << 20, Handler: func(c *fasthttp.RequestCtx) {
		c.Response.Header.SetContentType("application/json")
		c.Response.Header.Set("Cache-Control", "no-store")
		switch p := string(c.Path()); {
		case p == "/.well-known/jwks.json":
			c.Response.SetBodyString(jwks)
		case p == "/openapi.json":
			c.Response.SetBodyString(`{"openapi":"3.1.0","paths":{}}`)
		case c.IsPost() && len(c.PostBody()) == 0:
			c.SetStatusCode(400)
		case strings.HasSuffix(p, "64k"):
			c.Response.SetBodyRaw(b64)
		default:
			c.Response.SetBodyRaw(b1)
		}
	}}
	log.Fatal(s.ListenAndServe(*addr))
}
