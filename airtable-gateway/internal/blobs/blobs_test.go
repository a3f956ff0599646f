package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// bucket is a place to store at, and what is in it.
type bucket struct {
	address string
	list    func() []string
}

func directory(t *testing.T) bucket {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deep", "files")
	return bucket{"file://" + dir, func() []string { return filesUnder(t, dir) }}
}

func filesUnder(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// s3 is a bucket of a real S3 server, versitygw, which `make` builds into .bin.
func s3(t *testing.T) bucket {
	t.Helper()
	binary, err := exec.LookPath("versitygw")
	if err != nil {
		if binary, err = filepath.Abs("../../../.bin/versitygw"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("there is no S3 server to test with: make .bin/versitygw builds it")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	server := exec.CommandContext(ctx, binary, "--access", "test", "--secret", "testsecret", "--port", address, "--quiet", "posix", dir)
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("versitygw: %s", &said)
		}
	})
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "testsecret")
	await.True(t, "the S3 server to listen", func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return bucket{"s3://files?region=us-east-1&use_path_style=true&endpoint=http://" + address,
		func() []string { return filesUnder(t, filepath.Join(dir, "files")) }}
}

// bench is a store whose clock is moved by hand.
type bench struct {
	*blobs.Store
	bucket
	pool   *pgxpool.Pool
	repo   *repository.Files
	tenant id.TenantID
	mu     sync.Mutex
	at     time.Time
}

func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *bench) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func newBench(t *testing.T, at bucket) *bench {
	t.Helper()
	pool := pgtest.New(t, "airtable-gateway", repository.Migrations)
	b := &bench{bucket: at, pool: pool, repo: repository.NewFiles(pool), tenant: id.New[id.Tenant](), at: time.Now()}
	b.Store = filestest.Store(t, at.address, b.repo, b.now)
	return b
}

func (b *bench) read(t *testing.T, tenant id.TenantID, sum string) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), tenant, sum)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const limit = 8 << 20

// random is content that is the same for the same seed.
func random(seed uint64, size int) []byte {
	out := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = source.Read(out)
	return out
}

func TestStore_Directory(t *testing.T) {
	t.Parallel()
	contract(t, newBench(t, directory(t)))
}

// AWS's variables are the process's: this test runs alone.
func TestStore_S3(t *testing.T) { contract(t, newBench(t, s3(t))) }

// contract is what a store promises wherever it keeps its bytes.
func contract(t *testing.T, b *bench) {
	t.Helper()
	small, large := random(1, 700), random(2, 5<<20)
	for _, content := range [][]byte{nil, small, large, random(3, 1<<20), random(4, 1<<20+1)} {
		var sums []string
		for range 2 { // the second time it is there
			put, err := b.Put(t.Context(), b.tenant, bytes.NewReader(content), limit)
			if err != nil {
				t.Fatal(err)
			}
			if put.Size != int64(len(content)) || !bytes.Equal(put.Head, content[:min(512, len(content))]) {
				t.Errorf("stored %d bytes, head of %d", put.Size, len(put.Head))
			}
			if got := b.read(t, b.tenant, put.Sum); !bytes.Equal(got, content) {
				t.Errorf("read %d bytes of %d, or others", len(got), len(content))
			}
			sums = append(sums, put.Sum)
		}
		if sums[0] != sums[1] {
			t.Error("the same bytes have two sums")
		}
	}
	if got := b.list(); len(got) != 5 {
		t.Errorf("stored: %q", got)
	}
	other := id.New[id.Tenant]()
	put, err := b.Put(t.Context(), other, bytes.NewReader(small), limit)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.list(); len(got) != 6 {
		t.Errorf("two tenants share bytes: %q", got)
	}
	r, err := b.Open(t.Context(), other, put.Sum)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if at, err := r.Seek(-100, io.SeekEnd); err != nil || at != 600 {
		t.Errorf("seek: %d, %v", at, err)
	}
	if tail, err := io.ReadAll(r); err != nil || !bytes.Equal(tail, small[600:]) {
		t.Errorf("from a place: %v", err)
	}
	if _, err := b.Open(t.Context(), b.tenant, strings.Repeat("0", 64)); !errors.Is(err, blobs.ErrGone) {
		t.Errorf("unknown bytes: %v", err)
	}
	refusals(t, b)
	collection(t, b, other)
}

// refusals leave nothing behind.
func refusals(t *testing.T, b *bench) {
	t.Helper()
	before := len(b.list())
	broken := errors.New("the line is cut")
	for name, r := range map[string]io.Reader{
		"too large":       bytes.NewReader(random(5, 2<<20)),
		"a little so":     bytes.NewReader(random(5, 1<<20+1)),
		"broken":          io.MultiReader(bytes.NewReader(random(6, 100)), failing{broken}),
		"broken later on": io.MultiReader(bytes.NewReader(random(6, 1<<20+10)), failing{broken}),
	} {
		if _, err := b.Put(t.Context(), b.tenant, r, 1<<20+100); name != "a little so" && err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	if after := len(b.list()); after != before+1 {
		t.Errorf("refused bytes were left behind: %q", b.list())
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// collection takes what nothing refers to, a day after it was used.
func collection(t *testing.T, b *bench, other id.TenantID) {
	t.Helper()
	collect := func(want int) {
		t.Helper()
		if n, err := b.Collect(t.Context()); err != nil || n != want {
			t.Errorf("collected %d (%v), want %d", n, err, want)
		}
	}
	collect(0) // all is fresh
	picture, err := b.Put(t.Context(), other, bytes.NewReader(random(1, 700)), limit)
	if err != nil {
		t.Fatal(err)
	}
	thumb, err := b.Put(t.Context(), other, strings.NewReader("small"), limit)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.repo.PutThumbnail(t.Context(), other, picture.Sum, "small", repository.Thumbnail{Sum: thumb.Sum, Type: "image/png"}); err != nil {
		t.Fatal(err)
	}
	b.wait(25 * time.Hour)
	if _, err := b.Put(t.Context(), other, bytes.NewReader(random(1, 700)), limit); err != nil { // used again
		t.Fatal(err)
	}
	collect(6) // all of the first tenant
	b.read(t, other, picture.Sum)
	b.read(t, other, thumb.Sum)
	b.wait(25 * time.Hour)
	collect(1) // the picture, then its thumbnail
	collect(1)
	collect(0)
	if got := b.list(); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// Whoever stores bytes finds them afterwards, whenever the collector comes by.
func TestCollect_NeverTakesWhatIsStoredMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBench(t, directory(t))
	const rounds = 40
	content := []byte("the same again and again")
	for range rounds {
		put, err := b.Put(t.Context(), b.tenant, bytes.NewReader(content), limit)
		if err != nil {
			t.Fatal(err)
		}
		b.wait(25 * time.Hour) // old enough: the collector and the next writer race
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := b.Collect(t.Context()); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if _, err := b.Put(t.Context(), b.tenant, bytes.NewReader(content), limit); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if got := b.read(t, b.tenant, put.Sum); !bytes.Equal(got, content) {
			t.Fatal("the collector took fresh bytes")
		}
	}
}

// Between looking and taking, something may have begun to refer to the bytes.
func TestForget_LeavesWhatIsReferredTo(t *testing.T) {
	t.Parallel()
	b := newBench(t, directory(t))
	put := func(s string) string {
		t.Helper()
		out, err := b.Put(t.Context(), b.tenant, strings.NewReader(s), limit)
		if err != nil {
			t.Fatal(err)
		}
		return out.Sum
	}
	picture, thumb := put("picture"), put("thumb")
	if err := b.repo.PutThumbnail(t.Context(), b.tenant, picture, "small", repository.Thumbnail{Sum: thumb, Type: "image/png"}); err != nil {
		t.Fatal(err)
	}
	gone, err := b.repo.ForgetBlob(t.Context(), repository.Blob{Tenant: b.tenant, Sum: thumb}, b.now().Add(time.Hour), func() error {
		t.Error("bytes are erased that something refers to")
		return nil
	})
	if err != nil || gone {
		t.Errorf("forgotten: %v, %v", gone, err)
	}
}

// What an interrupted write leaves behind goes after a day.
func TestCollect_SweepsWhatNeverArrived(t *testing.T) {
	t.Parallel()
	at := directory(t)
	b := newBench(t, at)
	dir := strings.TrimPrefix(at.address, "file://")
	if err := os.MkdirAll(filepath.Join(dir, "incoming"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "incoming", "X"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if _, err := b.Collect(t.Context()); err != nil || len(b.list()) != want {
			t.Errorf("left: %q (%v)", b.list(), err)
		}
		b.wait(25 * time.Hour)
	}
}

func TestOpen_RefusesAddressesThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"file://relative/path", "ftp://x", "file:///proc/none/x", "file:///x?create_dir=1"} {
		if s, err := blobs.Open(t.Context(), bad, nil, nil, time.Now, nil); err == nil {
			t.Errorf("%s opens %v", bad, s)
		}
	}
}
