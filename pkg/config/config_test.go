package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/config"
)

type sample struct {
	config.Base
	From    string        `env:"MAIL_FROM" default:"a@example.com" validate:"email" doc:"sender"`
	Life    time.Duration `env:"LIFE" default:"15m" validate:"min=1m" doc:"how long"`
	Origins []string      `env:"ORIGINS" default:"" doc:"list"`
}

func known(dotenv string) config.Known {
	return config.Known{Service: "auth-service", Ports: map[string]int{"auth-service": 8001, "user-service": 8002}, DotEnv: dotenv}
}

func env(m map[string]string) config.Source {
	return config.Overlay(m, func(string) (string, bool) { return "", false })
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad_PrecedenceIsDefaultFileEnvironment(t *testing.T) {
	t.Parallel()
	file := write(t, "LIFE=20m\nMAIL_FROM=file@example.com\nAUTH_SERVICE_LOG_LEVEL=warn\nUSER_SERVICE_X=1\n")
	cfg, err := config.Load[sample](known(file), env(map[string]string{
		"MAIL_FROM": "env@example.com", "LOG_LEVEL": "error", "ORIGINS": "a,b", "USER_SERVICE_URL": "http://u1:1/, http://u2:2",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Port != 8001 || cfg.Life != 20*time.Minute || cfg.From != "env@example.com" || len(cfg.Origins) != 2 {
		t.Errorf("got %+v", cfg)
	}
	if cfg.LogLevel != "warn" {
		t.Errorf("a variable for the service alone must win, got %s", cfg.LogLevel)
	}
	if got := cfg.Addresses["user-service"]; len(got) != 2 || got[0] != "http://u1:1" || got[1] != "http://u2:2" {
		t.Errorf("addresses %v", got)
	}
	if got := cfg.Addresses["auth-service"]; len(got) != 1 || got[0] != "http://127.0.0.1:8001" {
		t.Errorf("addresses %v", got)
	}
}

func TestLoad_NamesEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "MAIL_FORM=x@example.com\nAUTH_SERVICE_LIVE=3\n")
	_, err := config.Load[sample](known(file), env(map[string]string{"PORT": "eighty", "LIFE": "soon"}))
	for _, want := range []string{"PORT", "LIFE", "MAIL_FORM", "AUTH_SERVICE_LIVE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
	if _, err := config.Load[sample](known(""), env(map[string]string{"MAIL_FROM": "nobody", "LIFE": "1s"})); err == nil ||
		!strings.Contains(err.Error(), "MAIL_FROM") || !strings.Contains(err.Error(), "LIFE") {
		t.Errorf("broken rules are not named: %v", err)
	}
}

func TestSecret_IsNeverPrinted(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load[sample](known(""), env(map[string]string{"SERVICE_SECRET": "hunter2"}))
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, cfg.ServiceSecret); strings.Contains(s, "hunter2") {
		t.Error("the secret was printed")
	}
	if cfg.ServiceSecret.Reveal() != "hunter2" {
		t.Error("the secret was lost")
	}
}

func TestExample_HasEveryOwnVariable(t *testing.T) {
	t.Parallel()
	s := config.Example[sample]("auth-service")
	if !strings.Contains(s, "# how long\n#AUTH_SERVICE_LIFE=15m\n") || strings.Contains(s, "DATABASE_URL") {
		t.Errorf("got %s", s)
	}
}
