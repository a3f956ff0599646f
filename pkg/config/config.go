// Package config fills a service's configuration struct from defaults, a .env
// file and the environment, in rising order of precedence.
//
// A field is named by its env tag, has its default in the tag default, its
// explanation in doc and its rules (go-playground/validator) in validate. Every
// variable may be given for one service alone by prefixing it with the service's
// name: AUTH_SERVICE_PORT beats PORT.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Source looks a variable up, as os.LookupEnv does. Services that share one
// process each get their own.
type Source func(key string) (value string, ok bool)

// Environ is the process environment as a Source.
func Environ() Source { return os.LookupEnv }

// Overlay looks in vars first and in below after that.
func Overlay(vars map[string]string, below Source) Source {
	return func(key string) (string, bool) {
		if v, ok := vars[key]; ok {
			return v, true
		}
		return below(key)
	}
}

// Base is the part of the configuration that every service has.
type Base struct {
	Env           string        `env:"ENV" default:"development" validate:"oneof=development production" doc:"development or production; production refuses conveniences such as the dev inbox"`
	LogLevel      string        `env:"LOG_LEVEL" default:"info" validate:"oneof=debug info warn error" doc:"debug, info, warn or error"`
	Host          string        `env:"HOST" default:"127.0.0.1" doc:"address to listen on; 0.0.0.0 in a container"`
	Port          int           `env:"PORT" validate:"min=0,max=65535" doc:"port to listen on; by default the service's own (0 picks a free one)"`
	DatabaseURL   Secret        `env:"DATABASE_URL" doc:"PostgreSQL; {database} stands for the service's database and role, so that one value serves all"`
	DatabaseConns int           `env:"DATABASE_MAX_CONNS" default:"10" validate:"min=2,max=1000" doc:"connections that one replica of a service opens at the most"`
	RedisURL      Secret        `env:"REDIS_URL" doc:"Redis; several comma-separated addresses are a cluster"`
	Issuer        string        `env:"TOKEN_ISSUER" default:"pyairtable" validate:"required" doc:"iss of access tokens"`
	ServiceSecret Secret        `env:"SERVICE_SECRET" doc:"root of the services' client secrets (32 bytes or more); the same for all"`
	ClientSecret  Secret        `env:"CLIENT_SECRET" doc:"one service's own client secret, for services that are not given SERVICE_SECRET"`
	SealKeys      Secret        `env:"SEAL_KEYS" doc:"keys of secrets at rest: kid:base64 of 32 bytes, comma-separated; the first seals, all open"`
	Permissions   string        `env:"PERMISSIONS" default:"service" validate:"oneof=service role" doc:"who decides what callers may do: service (permission-service), or role, the token's role, for a fleet without it"`
	Limits        string        `env:"LIMITS" default:"service" validate:"oneof=service off" doc:"who says how much tenants may have: service (tenant-service, by their plans), or off, as much as they like, for a fleet without it"`
	OTLPEndpoint  string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT" validate:"omitempty,url" doc:"OTLP/HTTP collector of traces; none are sent without it"`
	DrainDelay    time.Duration `env:"DRAIN_DELAY" default:"0s" validate:"min=0,max=5m" doc:"how long a stopping service still serves after /ready said no"`
	StopTimeout   time.Duration `env:"STOP_TIMEOUT" default:"20s" validate:"min=1s,max=10m" doc:"how long a stop may take before it is forced"`

	// Addresses are the base URLs of every service, by name, from variables such
	// as AUTH_SERVICE_URL (comma-separated for several replicas).
	Addresses map[string][]string
}

// The values of PERMISSIONS: permission-service decides, or, in a fleet without it, the
// role in the token.
const (
	PermissionsByService = "service"
	PermissionsByRole    = "role"
)

// The values of LIMITS: tenant-service says how much tenants may have, or, in a fleet
// without it, there are no limits.
const (
	LimitsByService = "service"
	LimitsOff       = "off"
)

// Production reports whether conveniences for developers must be off.
func (b Base) Production() bool { return b.Env == "production" }

// DatabaseFor is the URL of the named database.
func (b Base) DatabaseFor(database string) string {
	return strings.ReplaceAll(b.DatabaseURL.Reveal(), "{database}", database)
}

// Known tells Load what else may stand in the environment: the fleet's services
// with their default ports.
type Known struct {
	Service string         // the one being configured
	Ports   map[string]int // of every service
	DotEnv  string         // path of a .env file; absent is fine
}

// deploy are the variables of docker-compose, which shares the .env file with the
// services.
var deploy = regexp.MustCompile(`^(POSTGRES_PASSWORD|REDIS_PASSWORD|PYAIRTABLE_[A-Z_]+_PASSWORD|GATEWAY_PORT|COMPOSE_[A-Z_]+)$`)

// Load fills C, which embeds Base, and returns every fault at once, each naming
// its variable. A key of the .env file, or one with the service's prefix, that
// nothing knows is a fault too.
func Load[C any](known Known, env Source) (C, error) {
	var cfg C
	v := viper.New()
	var faults []error
	file, err := DotEnv(known.DotEnv)
	if err != nil {
		faults = append(faults, err)
	}
	prefix := Prefix(known.Service)
	vars := variables(reflect.TypeFor[C]())
	for _, f := range vars {
		if f.key == "PORT" {
			f.def = fmt.Sprint(known.Ports[known.Service])
		}
		v.SetDefault(f.key, f.def)
		for _, key := range []string{prefix + f.key, f.key} {
			if s, ok := env(key); ok {
				v.Set(f.key, s)
				break
			}
			if s, ok := file[key]; ok {
				v.Set(f.key, s)
				break
			}
		}
	}
	faults = append(faults, unknown(file, vars, known)...)
	for _, f := range vars { // one by one, so that each malformed value is named
		if err := decode(v.Get(f.key), f.index, &cfg); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.key, err))
		}
	}
	if base, ok := baseOf(&cfg); ok {
		base.Addresses = addresses(known, env, file)
	}
	if len(faults) == 0 {
		faults = validate(cfg)
	}
	return cfg, errors.Join(faults...)
}

// Prefix is what a variable for one service alone begins with: AUTH_SERVICE_.
func Prefix(service string) string {
	return strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_"
}

type variable struct {
	key, def, doc string
	secret        bool
	index         []int
}

func variables(t reflect.Type) []variable {
	var out []variable
	for _, f := range reflect.VisibleFields(t) {
		key, ok := f.Tag.Lookup("env")
		if !ok {
			continue
		}
		out = append(out, variable{
			key: key, def: f.Tag.Get("default"), doc: f.Tag.Get("doc"),
			secret: f.Type == reflect.TypeFor[Secret](), index: f.Index,
		})
	}
	return out
}

// DotEnv reads the variables of a .env file, their names in upper case. A file that
// is absent, or has no path, has none.
func DotEnv(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("env")
	if err := v.ReadInConfig(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := map[string]string{}
	for _, key := range v.AllKeys() {
		out[strings.ToUpper(key)] = v.GetString(key)
	}
	return out, nil
}

func unknown(file map[string]string, vars []variable, known Known) []error {
	var keys []string
	for _, f := range vars {
		keys = append(keys, f.key)
	}
	var faults []error
	for key := range file {
		if slices.Contains(keys, key) || deploy.MatchString(key) || ofOther(key, known) || ownKnown(key, keys, known.Service) {
			continue
		}
		faults = append(faults, fmt.Errorf("%s: unknown variable in %s", key, known.DotEnv))
	}
	sort.Slice(faults, func(i, j int) bool { return faults[i].Error() < faults[j].Error() })
	return faults
}

func ofOther(key string, known Known) bool {
	for name := range known.Ports {
		if name != known.Service && strings.HasPrefix(key, Prefix(name)) {
			return true
		}
	}
	return false
}

func ownKnown(key string, keys []string, service string) bool {
	rest, ok := strings.CutPrefix(key, Prefix(service))
	return ok && (rest == "URL" || slices.Contains(keys, rest))
}

func decode(value any, index []int, into any) error {
	field := reflect.ValueOf(into).Elem().FieldByIndex(index)
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: field.Addr().Interface(), WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(","),
		),
	})
	if err != nil {
		return err
	}
	if value == "" && field.Kind() != reflect.String {
		return nil
	}
	if err := dec.Decode(value); err != nil {
		return fmt.Errorf("%q is not %s", value, article(field.Type()))
	}
	return nil
}

func article(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 30s or 5m"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return "a whole number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a " + t.String()
}

func baseOf(cfg any) (*Base, bool) {
	v := reflect.ValueOf(cfg).Elem()
	if b, ok := v.Addr().Interface().(*Base); ok {
		return b, true
	}
	if f := v.FieldByName("Base"); f.IsValid() {
		b, ok := f.Addr().Interface().(*Base)
		return b, ok
	}
	return nil, false
}

func addresses(known Known, env Source, file map[string]string) map[string][]string {
	out := map[string][]string{}
	for name, port := range known.Ports {
		key := Prefix(name) + "URL"
		s, ok := env(key)
		if !ok {
			s, ok = file[key]
		}
		if !ok || s == "" {
			s = fmt.Sprintf("http://127.0.0.1:%d", port)
		}
		for u := range strings.SplitSeq(s, ",") {
			out[name] = append(out[name], strings.TrimRight(strings.TrimSpace(u), "/"))
		}
	}
	return out
}

func validate(cfg any) []error {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("env") })
	var invalid validator.ValidationErrors
	if !errors.As(v.Struct(cfg), &invalid) {
		return nil
	}
	var faults []error
	for _, f := range invalid {
		rule := f.Tag()
		if f.Param() != "" {
			rule += "=" + f.Param()
		}
		faults = append(faults, fmt.Errorf("%s: %v breaks the rule %s", f.Field(), f.Value(), rule))
	}
	return faults
}

// BaseOf returns the Base that cfg, a pointer, is or embeds.
func BaseOf[C any](cfg *C) *Base {
	b, _ := baseOf(cfg)
	return b
}
