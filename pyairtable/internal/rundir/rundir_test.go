package rundir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

func open(t *testing.T) Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSecrets_StayAndANewServiceGetsItsOwn(t *testing.T) {
	t.Parallel()
	d := open(t)
	services := []api.Service{{Name: "a", Database: "pyairtable_a"}, {Name: "gateway"}}
	first, err := d.Secrets(services)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.New(first["SEAL_KEYS"]); err != nil {
		t.Errorf("SEAL_KEYS: %v", err)
	}
	if len(first["SERVICE_SECRET"]) < 32 || first["PYAIRTABLE_A_PASSWORD"] == "" {
		t.Errorf("secrets lack something: %d keys", len(first))
	}
	second, err := d.Secrets(append(services, api.Service{Name: "b", Database: "pyairtable_b"}))
	if err != nil {
		t.Fatal(err)
	}
	if second["PYAIRTABLE_B_PASSWORD"] == "" {
		t.Error("the new service has no password")
	}
	delete(second, "PYAIRTABLE_B_PASSWORD")
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("what was there has changed: %s", diff)
	}
}

func TestSecrets_FileOpenToOthersIsClosed(t *testing.T) {
	t.Parallel()
	d := open(t)
	if err := os.WriteFile(d.SecretsFile(), []byte("SEAL_KEYS=k\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Secrets(nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.SecretsFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSecrets_LostOnesOfDataAreNotReplaced(t *testing.T) {
	t.Parallel()
	d := open(t)
	if err := os.WriteFile(filepath.Join(d.Path, "postgres.password"), []byte("p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := d.Secrets(nil)
	var p *localinfra.Problem
	if !errors.As(err, &p) {
		t.Errorf("err = %v, want a Problem", err)
	}
}

func TestState_CutShortByACrashIsNone(t *testing.T) {
	t.Parallel()
	d := open(t)
	if err := os.WriteFile(d.stateFile(), []byte(`{"pid": 12`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, known, err := d.ReadState(); known || err != nil {
		t.Errorf("known = %v, %v", known, err)
	}
}

func TestLogFile_IsBoundedAndPassesErrorsOn(t *testing.T) {
	t.Parallel()
	d := open(t)
	var errors bytes.Buffer
	l, err := d.OpenLog("a", &errors)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	line := []byte(`{"level":"info","msg":"` + strings.Repeat("x", 1<<20) + "\"}\n")
	for range 25 {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{d.Log("a"), d.Log("a") + ".1"} {
		if info, err := os.Stat(path); err != nil || info.Size() > maxLog+2<<20 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	if _, err := l.Write([]byte(`{"level":"error","msg":"broken"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if got := errors.String(); !strings.Contains(got, "broken") || strings.Contains(got, "xxx") {
		t.Errorf("passed on %d bytes, want the error alone", len(got))
	}
}
