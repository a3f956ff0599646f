package emulator

import (
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// Token is one that the emulator accepts, with what it opens. A scope "*" is all, and
// so is a base "*".
type Token struct {
	Token  string          `json:"token"`
	Scopes []string        `json:"scopes"`
	Bases  []string        `json:"bases"`
	User   models.PersonID `json:"user"` // the collaborator whom it belongs to; "": the first
}

// tokens are those of the seed; without any, every token that begins with pat is
// good for everything.
type tokens map[string]Token

func newTokens(list []Token) tokens {
	t := make(tokens, len(list))
	for _, token := range list {
		t[token.Token] = token
	}
	return t
}

func (t tokens) find(header string) (Token, *models.Error) {
	text, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || text == "" {
		return Token{}, models.ErrAuthenticationRequired
	}
	if len(t) == 0 && strings.HasPrefix(text, "pat") {
		return Token{Token: text, Scopes: []string{"*"}, Bases: []string{"*"}}, nil
	}
	token, ok := t[text]
	if !ok {
		return Token{}, v0.ErrBadToken
	}
	return token, nil
}

// sees reports whether the base is on the token's list.
func (t Token) sees(base string) bool {
	return slices.Contains(t.Bases, "*") || slices.Contains(t.Bases, base)
}

// opens reports whether the token has the scope.
func (t Token) opens(scope string) bool {
	return slices.Contains(t.Scopes, "*") || slices.Contains(t.Scopes, scope)
}

// refuses says what the token lacks for the call; nil if nothing.
func (t Token) refuses(c upstream.Call) *models.Error {
	scope := v0.Scope(c)
	switch {
	case c.Base != "" && !t.sees(c.Base) && c.Op == upstream.BaseSchema:
		return models.ErrNoSchema
	case c.Base != "" && !t.sees(c.Base):
		return models.ErrModelNotFound
	case scope != "" && !t.opens(scope):
		return models.ErrModelNotFound
	}
	return nil
}
