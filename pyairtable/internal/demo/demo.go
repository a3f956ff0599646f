// Package demo gives a new instance its demo account and data, by the same API calls
// that a user would make.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pyairtable/internal/rundir"
)

// Email is the demo account's address; nobody can ever receive mail there (RFC 2606).
const Email = "demo@example.com"

// Access is how to use the demo.
type Access struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Token    string `json:"token"` // a personal access token
	BaseID   string `json:"base_id"`
	Table    string `json:"table"` // one of the base's tables
	Records  int    `json:"records"`
}

// FirstRequest is the URL of the table's first records.
func (a Access) FirstRequest(gateway string) string {
	return gateway + "/v0/" + a.BaseID + "/" + url.PathEscape(a.Table) + "?maxRecords=3"
}

// scopes of the demo token: all that a client of Airtable can use.
var scopes = []string{"data.records:read", "data.records:write", "schema.bases:read"}

// Ensure returns the access that an earlier run noted in file if it still works, and
// else registers the account, loads the data and notes the access. Each step finds
// what an interrupted run has done before.
func Ensure(ctx context.Context, gateway, file, password string) (Access, error) {
	if noted, ok := read(file); ok && works(ctx, gateway, noted) {
		return noted, nil
	}
	client := rpc.New(rpc.Options{Callee: catalog.Gateway.Name, Addresses: []string{gateway}})
	_, err := rpc.Call(ctx, client, authapi.Register, authapi.RegisterRequest{Email: Email, Password: password, Name: "Demo"})
	if err != nil && !errors.Is(err, authapi.ErrEmailTaken) {
		return Access{}, fmt.Errorf("register %s: %w", Email, err)
	}
	session, err := rpc.Call(ctx, client, authapi.Login, authapi.LoginRequest{Email: Email, Password: password})
	if err != nil {
		return Access{}, fmt.Errorf("sign in as %s: %w", Email, err)
	}
	user := client.As(auth.Principal{Token: session.AccessToken})
	data, err := rpc.Call(ctx, user, airtableapi.LoadDemo, struct{}{})
	if err != nil {
		return Access{}, fmt.Errorf("load the demo base: %w", err)
	}
	token, err := rpc.Call(ctx, user, authapi.CreateToken, authapi.TokenRequest{Name: "demo", Scopes: scopes, Bases: []string{auth.Any}})
	if err != nil {
		return Access{}, fmt.Errorf("make the demo token: %w", err)
	}
	a := Access{Email: Email, Password: password, Token: token.Body.Token, BaseID: data.BaseID, Table: firstTable(data.Tables)}
	for _, n := range data.Tables {
		a.Records += n
	}
	raw, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return Access{}, fmt.Errorf("note the demo access: %w", err)
	}
	return a, rundir.WritePrivate(file, append(raw, '\n'))
}

// firstTable is the table of the first example.
func firstTable(tables map[string]int) string {
	if _, ok := tables["Countries"]; ok {
		return "Countries"
	}
	names := slices.Sorted(maps.Keys(tables))
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func read(file string) (Access, bool) {
	var a Access
	raw, err := os.ReadFile(file)
	return a, err == nil && json.Unmarshal(raw, &a) == nil && a.Token != ""
}

// works reports whether the first example would be answered.
func works(ctx context.Context, gateway string, a Access) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.FirstRequest(gateway), nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode == http.StatusOK
}
