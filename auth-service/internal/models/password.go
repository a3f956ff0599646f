package models

import (
	_ "embed"
	"strings"
	"sync"
	"unicode/utf8"
)

// bcrypt reads 72 bytes and no more. What is longer is refused and not cut: two
// passwords that share their beginning must not be the same password.
const (
	MinPassword = 8  // characters
	MaxPassword = 72 // bytes
)

//go:embed common_passwords.txt
var commonPasswords string

var common = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for line := range strings.Lines(commonPasswords) {
		m[strings.TrimSpace(line)] = true
	}
	return m
})

// PasswordFault says why a password cannot be used by the owner of the address;
// "" if it can. Length and obviousness are all that is asked (NIST SP 800-63B,
// section 5.1.1.2): rules about digits make worse passwords.
func PasswordFault(password, email string) string {
	low := strings.ToLower(password)
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return "has to be text"
	case utf8.RuneCountInString(password) < MinPassword:
		return "has to have at least 8 characters"
	case len(password) > MaxPassword:
		return "has to have at most 72 bytes"
	case common()[low] || strings.Trim(low, low[:1]) == "":
		return "is one of the first that anybody would try"
	case low == strings.ToLower(email) || low == local:
		return "must not be the email address"
	}
	return ""
}
