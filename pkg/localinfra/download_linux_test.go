package localinfra

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// release packs the server of this machine as the repository of built ones does: an
// xz-compressed tar within a zip.
func release(t *testing.T, b Binaries) []byte {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "postgres.txz")
	cmd := exec.Command("tar", "-cJf", archive, "-C", filepath.Dir(b.Dir), "bin/postgres", "bin/initdb", "bin/pg_ctl")
	cmd.Env = append(os.Environ(), "XZ_OPT=-0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no tar with xz: %v: %s", err, out)
	}
	packed, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	w, err := z.Create("postgres-linux-x86_64.txz")
	if err == nil {
		_, err = w.Write(packed)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return jar.Bytes()
}

// The library that downloads cannot run what it brought as root; the download has to
// be good all the same.
func TestDownload_BringsAServerThatTheAccountCanRun(t *testing.T) {
	t.Parallel()
	a, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	found := a.findPostgres(postgresHomes...)
	if len(found) == 0 {
		t.Skip("no PostgreSQL on this machine to be served")
	}
	jar := release(t, found[0])
	sum := sha256.Sum256(jar)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar)
	}))
	defer server.Close()
	dir := openTestDir(t)
	if err := a.download(dir, Options{downloads: server.URL}); err != nil {
		t.Fatal(err)
	}
	got := a.findPostgres(filepath.Join(dir, "*", "bin"))
	if len(got) == 0 || !strings.HasPrefix(got[len(got)-1].Dir, dir) || got[len(got)-1].Major != found[0].Major {
		t.Errorf("found %v, want the downloaded one in %s among them", got, dir)
	}
}

func TestDownload_FailureSaysWhichRelease(t *testing.T) {
	t.Parallel()
	a, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	err = a.download(openTestDir(t), Options{downloads: server.URL})
	if err == nil || !strings.Contains(err.Error(), string(downloadRelease)) {
		t.Errorf("err = %v, want the release named", err)
	}
}

func TestPostgresFor_DataOfAMissingReleaseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	a, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.postgresFor(t.Context(), 9999, Options{Dir: t.TempDir(), Install: true})
	if err == nil || !strings.Contains(err.Error(), "install PostgreSQL 9999 again") {
		t.Errorf("err = %v, want what to install", err)
	}
}
