// Command mktoken writes n distinct access tokens, one a line, as auth-service would sign
// them, with a key for the benchmark only.
package main

import (
	"crypto/ed25519"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func main() {
	n := flag.Int("n", 1, "")
	seed := flag.String("seed", "gwbench-ed25519-seed-32-bytes!!!", "")
	flag.Parse()
	key := ed25519.NewKeyFromSeed([]byte(*seed))
	now := time.Now()
	for i := range *n {
		t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": "pyairtable", "aud": "pyairtable", "role": "owner", "scope": "*",
			"sub": fmt.Sprintf("01900000-0000-7000-8000-%012d", i+1),
			"tid": fmt.Sprintf("01900000-0000-7000-8001-%012d", i+1),
			"sid": fmt.Sprintf("01900000-0000-7000-8002-%012d", i+1),
			"jti": fmt.Sprintf("01900000-0000-7000-8003-%012d", i+1),
			"iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		})
		t.Header["kid"] = "ed"
		s, err := t.SignedString(key)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(s)
	}
}
