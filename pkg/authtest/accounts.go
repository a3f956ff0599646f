package authtest

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// accounts are those that the issuer has, by address in lower case.
type accounts struct {
	mu sync.Mutex
	of map[string]account
}

type account struct {
	user              id.UserID
	claimed, verified bool
}

// Account opens an account that somebody uses, and returns its user.
func (i *Issuer) Account(email string, verified bool) id.UserID {
	i.accounts.mu.Lock()
	defer i.accounts.mu.Unlock()
	user := id.New[id.User]()
	i.accounts.of[strings.ToLower(email)] = account{user, true, verified}
	return user
}

// Accounts is how many there are.
func (i *Issuer) Accounts() int {
	i.accounts.mu.Lock()
	defer i.accounts.mu.Unlock()
	return len(i.accounts.of)
}

// provision serves authapi.ProvisionAccount by its rules.
func (a *accounts) provision(w http.ResponseWriter, r *http.Request) {
	var in authapi.AccountRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := strings.ToLower(in.Email)
	known, ok := a.of[key]
	switch {
	case !ok:
		known = account{user: id.New[id.User]()}
		a.of[key] = known
	case known.claimed && !in.Link:
		refuse(w, authapi.ErrEmailTaken)
		return
	case known.claimed && !known.verified:
		refuse(w, authapi.ErrLinkRefused)
		return
	}
	answer(w, authapi.ProvisionedAccount{UserID: known.user.String(), Created: !ok})
}

func refuse(w http.ResponseWriter, e *errs.Error) {
	w.Header().Set("Content-Type", errs.ContentType)
	w.WriteHeader(e.Kind.Status())
	_ = json.NewEncoder(w).Encode(e.Problem("", "")) // a caller that went away is its own affair
}
