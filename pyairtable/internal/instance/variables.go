package instance

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pyairtable/internal/rundir"
)

// variables are the environment that the instance makes for its services. What a
// person has set, in the environment or in .env, is never overridden.
type variables struct {
	env     config.Source
	file    map[string]string
	members []api.Service
	urls    map[string]string // where each service listens
	hosts   map[string]string
	ports   map[string]int
	secrets rundir.Secrets
	files   func(service string) string // where a service's files are
	admin   *url.URL                    // of the server that holds the databases made here
	redis   string
}

func newVariables(o Options) (variables, error) {
	file, err := config.DotEnv(o.DotEnv)
	if err != nil {
		return variables{}, err
	}
	v := variables{env: o.Env, file: file, urls: map[string]string{}, hosts: map[string]string{}, ports: map[string]int{}}
	for _, s := range o.Services {
		declared, ok := catalog.Find(s.Name)
		if !ok {
			return variables{}, fmt.Errorf("%s is not in the catalog", s.Name)
		}
		v.members = append(v.members, declared)
		if err := v.place(declared); err != nil {
			return variables{}, err
		}
	}
	return v, nil
}

// place finds out where the service will listen.
func (v variables) place(s api.Service) error {
	host, port := "127.0.0.1", s.Port
	if h, ok := v.lookupFor(s.Name, "HOST"); ok {
		host = h
	}
	if p, ok := v.lookupFor(s.Name, "PORT"); ok {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%sPORT: %q is not a port", config.Prefix(s.Name), p)
		}
		port = n
	}
	v.hosts[s.Name], v.ports[s.Name] = host, port
	reach := host
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		reach = "127.0.0.1"
	}
	v.urls[s.Name] = "http://" + net.JoinHostPort(reach, strconv.Itoa(port))
	return nil
}

func (v variables) lookup(key string) (string, bool) {
	if value, ok := v.env(key); ok {
		return value, true
	}
	value, ok := v.file[key]
	return value, ok
}

func (v variables) given(key string) bool {
	value, ok := v.lookup(key)
	return ok && value != ""
}

// lookupFor finds the variable of one service as the service will.
func (v variables) lookupFor(service, key string) (string, bool) {
	if value, ok := v.lookup(config.Prefix(service) + key); ok {
		return value, true
	}
	if key == "PORT" { // one port for all cannot be meant
		return "", false
	}
	return v.lookup(key)
}

func (v variables) services() []api.Service { return v.members }

func (v variables) gatewayURL() string {
	url := v.urls[catalog.Gateway.Name]
	// People type localhost; it is the same address.
	return strings.Replace(url, "//127.0.0.1:", "//localhost:", 1)
}

func (v variables) hasOwnDatabase(s api.Service) bool {
	_, given := v.lookupFor(s.Name, "DATABASE_URL")
	return given
}

// wantsPostgres reports whether any service needs a database that was not given.
func (v variables) wantsPostgres() bool {
	for _, s := range v.members {
		if s.Database != "" && !v.hasOwnDatabase(s) {
			return true
		}
	}
	return false
}

// databases are those to make on the server of admin.
func (v *variables) databases(admin string) ([]localinfra.Database, error) {
	at, err := url.Parse(admin)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL must look like postgres://user:password@host:5432/postgres")
	}
	v.admin = at
	var all []localinfra.Database
	for _, s := range v.members {
		if s.Database != "" && !v.hasOwnDatabase(s) {
			all = append(all, localinfra.Database{Name: s.Database, Role: s.Database, Password: v.secrets[rundir.PasswordKey(s.Database)]})
		}
	}
	return all, nil
}

// shared are the variables of every service.
func (v variables) shared() map[string]string {
	vars := map[string]string{
		"SEAL_KEYS": v.secrets["SEAL_KEYS"], "SERVICE_SECRET": v.secrets["SERVICE_SECRET"], "REDIS_URL": v.redis,
		"PUBLIC_URL":        v.gatewayURL(),
		"AIRTABLE_BLOB_URL": (&url.URL{Scheme: "file", Path: v.files(airtableapi.Service.Name)}).String(),
	}
	for name, url := range v.urls {
		vars[config.Prefix(name)+"URL"] = url
	}
	maps.DeleteFunc(vars, func(key, value string) bool { return value == "" || v.given(key) })
	// What .env says is for services that run one by one: here it is known who runs.
	for _, s := range []struct{ key, by, with, without string }{
		{"PERMISSIONS", permissionapi.Service.Name, config.PermissionsByService, config.PermissionsByRole},
		{"LIMITS", tenantapi.Service.Name, config.LimitsByService, config.LimitsOff},
	} {
		if _, set := v.env(s.key); set {
			continue
		}
		vars[s.key] = s.without
		if _, runs := v.urls[s.by]; runs {
			vars[s.key] = s.with
		}
	}
	return vars
}

// own are the variables of one service.
func (v variables) own(name string) map[string]string {
	vars := map[string]string{"PORT": strconv.Itoa(v.ports[name])}
	s, _ := catalog.Find(name)
	if s.Database != "" && v.admin != nil && !v.hasOwnDatabase(s) {
		at := *v.admin
		at.User, at.Path = url.UserPassword(s.Database, v.secrets[rundir.PasswordKey(s.Database)]), "/"+s.Database
		vars["DATABASE_URL"] = at.String()
	}
	return vars
}

func (v variables) merged(name string) map[string]string {
	vars := v.shared()
	maps.Copy(vars, v.own(name))
	return vars
}
