package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func listen(t *testing.T, rdb redis.UniversalClient) *auth.Revocations {
	t.Helper()
	r := auth.NewRevocations()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx, rdb) }()
	t.Cleanup(func() { cancel(); <-done })
	await.True(t, "the subscription", r.Live)
	return r
}

func remember(ctx context.Context, rdb redis.UniversalClient, r authapi.Revocation) error {
	return rdb.ZAdd(ctx, authapi.RevokedSet, redis.Z{Score: float64(r.Until), Member: r.Member()}).Err()
}

func inAMinute() int64 { return time.Now().Add(time.Minute).Unix() }

func TestRevocation_IsHeardOfEachKind(t *testing.T) {
	t.Parallel()
	rdb := redistest.OwnServer(t).Client(t) // a channel is shared by all databases of a server
	r := listen(t, rdb)
	session, user := id.New[id.Session](), id.New[id.User]()
	for _, c := range []struct {
		what auth.Principal
		told authapi.Revocation
	}{
		{auth.Principal{SessionID: session}, authapi.Revocation{Session: session.String(), Until: inAMinute()}},
		{auth.Principal{UserID: user}, authapi.Revocation{User: user.String(), Until: inAMinute()}},
		{auth.Principal{PAT: "p"}, authapi.Revocation{Token: "p", Until: inAMinute()}},
	} {
		if r.Revoked(c.what) {
			t.Errorf("%s is revoked before it was told", c.told.Member())
		}
		if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, c.told.JSON()).Err(); err != nil {
			t.Fatal(err)
		}
		await.True(t, c.told.Member(), func() bool { return r.Revoked(c.what) })
	}
	if r.Revoked(auth.Principal{SessionID: id.New[id.Session](), UserID: id.New[id.User](), PAT: "q"}) || r.Revoked(auth.Principal{}) {
		t.Error("somebody else's tokens are revoked")
	}
}

// A personal access token may go on being good: what was made of it later is.
func TestRevocation_OfATokenEndsWhatWasMadeOfItBefore(t *testing.T) {
	t.Parallel()
	rdb := redistest.OwnServer(t).Client(t)
	r := listen(t, rdb)
	until := inAMinute()
	made := func(expires int64) auth.Principal {
		return auth.Principal{PAT: "p", ExpiresAt: time.Unix(expires, 0)}
	}
	if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, authapi.Revocation{Token: "p", Until: until}.JSON()).Err(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the revocation", func() bool { return r.Revoked(made(until)) })
	if !r.Revoked(made(until-30)) || r.Revoked(made(until+1)) {
		t.Error("what was made before is good, or what was made later is not")
	}
	// A session that has ended stays so, whatever a token of it says.
	session := auth.Principal{SessionID: id.New[id.Session](), ExpiresAt: time.Unix(until+60, 0)}
	told := authapi.Revocation{Session: session.SessionID.String(), Until: until}
	if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, told.JSON()).Err(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the session's end", func() bool { return r.Revoked(session) })
}

func TestRevocation_AnnouncedDuringAGapIsFound(t *testing.T) {
	t.Parallel()
	srv := redistest.OwnDurableServer(t)
	rdb := srv.Client(t)
	r := listen(t, rdb)
	before, during := id.New[id.Session](), id.New[id.Session]()
	told := authapi.Revocation{Session: before.String(), Until: inAMinute()}
	if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, told.JSON()).Err(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the first", func() bool { return r.Revoked(auth.Principal{SessionID: before}) })
	srv.Kill()
	await.True(t, "noticing that Redis is away", func() bool { return !r.Live() })
	if !r.Revoked(auth.Principal{SessionID: before}) {
		t.Error("a revocation was forgotten while Redis was away")
	}
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Stored, but announced while nobody may have listened.
	await.True(t, "writing to Redis again", func() bool {
		return remember(t.Context(), rdb, authapi.Revocation{Session: during.String(), Until: inAMinute()}) == nil
	})
	await.True(t, "the one of the gap", func() bool { return r.Revoked(auth.Principal{SessionID: during}) })
}

func TestRevocation_OfThePastAndGarbageAreIgnored(t *testing.T) {
	t.Parallel()
	rdb := redistest.OwnServer(t).Client(t)
	for _, member := range []string{"sid:nonsense", "unknown:x", "", "user:"} {
		if err := rdb.ZAdd(t.Context(), authapi.RevokedSet, redis.Z{Score: float64(inAMinute()), Member: member}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	past := authapi.Revocation{Token: "past", Until: time.Now().Add(-time.Minute).Unix()}
	if err := remember(t.Context(), rdb, past); err != nil {
		t.Fatal(err)
	}
	r := listen(t, rdb)
	for _, text := range []string{`{"sid":`, `null`, `{"until":1e99}`, `{}`} {
		if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, text).Err(); err != nil {
			t.Fatal(err)
		}
	}
	last := authapi.Revocation{Token: "last", Until: inAMinute()}
	if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, last.JSON()).Err(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the one that is in order", func() bool { return r.Revoked(auth.Principal{PAT: "last"}) })
	if r.Len() != 1 {
		t.Errorf("%d are remembered", r.Len())
	}
}
