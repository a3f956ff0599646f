package services_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func TestPAT_RevokedExpiredAndForgedAreRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	who := b.who(b.login(b.register()))
	exchange := func(text string) error {
		_, err := b.ExchangePAT(t.Context(), text)
		return err
	}
	made, text, err := b.CreateToken(t.Context(), who, order)
	b.ok(err)
	b.ok(exchange(text))
	forged := []byte(text)
	forged[len(forged)-1] ^= 1
	b.want(exchange(string(forged)), authapi.ErrBadToken)
	b.want(exchange("patAAAAAAAAAAAAAA."+text[18:]), authapi.ErrBadToken)

	short := order
	short.ExpiresAt = b.clock.now().Add(2 * time.Minute)
	_, shortText, err := b.CreateToken(t.Context(), who, short)
	b.ok(err)
	got, err := b.ExchangePAT(t.Context(), shortText)
	if err != nil || got.Until.After(short.ExpiresAt) {
		t.Errorf("a JWT until %s for a token until %s, %v", got.Until, short.ExpiresAt, err)
	}
	b.clock.pass(2 * time.Minute)
	b.want(exchange(shortText), authapi.ErrBadToken)

	b.ok(b.RevokeToken(t.Context(), who, made.ID))
	b.want(b.RevokeToken(t.Context(), who, made.ID), errs.ErrNotFound)
	b.want(exchange(text), authapi.ErrBadToken)
	list, err := b.repo.Revocations(t.Context(), b.clock.now())
	if err != nil || len(list) != 1 || list[0].Member() != "pat:"+made.ID.String() || list[0].Until.Before(b.clock.now().Add(5*time.Minute)) {
		t.Errorf("%v %v", list, err)
	}
	if b.metric("auth_pat_exchanges_total", "ok") != 2 || b.metric("auth_pat_exchanges_total", "bad_token") != 4 {
		t.Error("exchanges are not counted")
	}
}

func TestPAT_TextIsNotStored(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	_, text, err := b.CreateToken(t.Context(), b.who(b.login(b.register())), order)
	b.ok(err)
	var n int
	b.ok(b.all.QueryRow(t.Context(), `SELECT count(*) FROM personal_tokens p WHERE p::text LIKE '%' || $1 || '%'`, text[18:]).Scan(&n))
	if n != 0 {
		t.Error("the secret is readable in the database")
	}
}

func TestPAT_UseIsWrittenDownLaterAndLastWhenTheServiceStops(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	who := b.who(b.login(b.register()))
	made, text, err := b.CreateToken(t.Context(), who, order)
	b.ok(err)
	for range 3 {
		b.clock.pass(time.Second)
		_, err = b.ExchangePAT(t.Context(), text)
		b.ok(err)
	}
	used := b.clock.now()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	b.ok(b.NoteUses(ctx))
	got, err := b.repo.Token(t.Context(), who.TenantID, who.UserID, made.ID)
	if err != nil || got.LastUsedAt.Sub(used).Abs() > time.Second {
		t.Errorf("last used %s, want %s, %v", got.LastUsedAt, used, err)
	}
}

func TestPAT_NumberIsBounded(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	who := b.who(b.login(b.register()))
	var err error
	for range models.MaxTokens {
		if _, _, err = b.CreateToken(t.Context(), who, order); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = b.CreateToken(t.Context(), who, order)
	b.want(err, authapi.ErrTooManyTokens)
}

func TestKeys_RotateWhileTokensLive(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	published := func() map[string]bool {
		b.ok(b.keys.Rotate(t.Context()))
		m := map[string]bool{}
		for _, k := range b.keys.Published().Keys {
			m[k.KeyID] = true
		}
		return m
	}
	first := published()
	if len(first) != 1 {
		t.Fatalf("%v", first)
	}
	before := b.keys.Generation()
	b.clock.pass(30*24*time.Hour - time.Hour)
	if ahead := published(); len(ahead) != 2 || b.keys.Generation() == before {
		t.Errorf("an hour before its use the next key is not published: %v", ahead)
	}
	last := b.login(b.register()) // signed with the first key still
	if kid := b.kid(last.Access); !first[kid] {
		t.Errorf("signed with %s ahead of time", kid)
	}
	b.clock.pass(time.Hour + time.Minute)
	next := b.login(b.register())
	if kid := b.kid(next.Access); first[kid] || !published()[kid] {
		t.Errorf("signed with %s", kid)
	}
	if !published()[b.kid(last.Access)] {
		t.Error("a key is withdrawn while a token of its may live")
	}
	b.clock.pass(services.AccessTTL + time.Hour)
	if left := published(); len(left) != 1 || left[b.kid(last.Access)] {
		t.Errorf("the old key is kept: %v", left)
	}
}

func TestKeys_ReplicasThatStartTogetherShareOneKey(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	_, err := b.all.Exec(t.Context(), `DELETE FROM signing_keys`)
	b.ok(err)
	done := make(chan string)
	for range 5 {
		go func() {
			k := services.NewKeys(b.repo, 30*24*time.Hour, b.clock.now)
			if err := k.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
			done <- k.Published().Keys[0].KeyID
		}()
	}
	kids := map[string]bool{}
	for range 5 {
		kids[<-done] = true
	}
	if len(kids) != 1 {
		t.Errorf("%d keys", len(kids))
	}
}

func TestKeys_PrivateHalfIsSealed(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	ring, err := b.repo.Keys(t.Context())
	b.ok(err)
	var n int
	b.ok(b.all.QueryRow(t.Context(), `SELECT count(*) FROM signing_keys WHERE position($1 IN private) > 0`, ring[0].Private.Seed()).Scan(&n))
	if n != 0 {
		t.Error("the private key is readable in the database")
	}
}

func TestAnnouncer_RedisOutageOnlyDelays(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	in := b.login(b.register())
	b.ok(b.EndSession(t.Context(), b.who(in), in.Session))
	away := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer away.Close()
	if err := b.announcer(away).Announce(t.Context()); err == nil {
		t.Fatal("announced to nobody")
	}
	sub := b.subscribe(b.rdb)
	b.ok(b.announcer(b.rdb).Announce(t.Context()))
	told := b.receive(sub, in.Session.String())
	if told.Until < time.Now().Add(services.AccessTTL-time.Minute).Unix() {
		t.Errorf("%+v", told)
	}
	if score, err := b.rdb.ZScore(t.Context(), authapi.RevokedSet, told.Member()).Result(); err != nil || int64(score) != told.Until {
		t.Errorf("score %v, %v", score, err)
	}
	n, err := b.repo.Announce(t.Context(), 10, b.clock.now(), func([]models.Revocation) error { return errors.New("again") })
	if n != 0 || err != nil {
		t.Errorf("what was announced is announced again: %d, %v", n, err)
	}
}

func TestAnnouncer_RemindsARedisThatLostItsData(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	in := b.login(b.register())
	b.ok(b.EndSession(t.Context(), b.who(in), in.Session))
	empty := redistest.New(t)
	a := b.announcer(empty)
	b.ok(b.announcer(b.rdb).Announce(t.Context()))
	sub := b.subscribe(empty)
	b.ok(a.Remind(t.Context()))
	told := b.receive(sub, in.Session.String())
	if n, err := empty.ZCard(t.Context(), authapi.RevokedSet).Result(); err != nil || n != 1 {
		t.Errorf("%d in the set, %v", n, err)
	}
	// What is over is dropped, from the set and from the database.
	b.clock.pass(services.AccessTTL + time.Minute)
	other := b.login(b.register())
	b.ok(b.EndSession(t.Context(), b.who(other), other.Session))
	b.ok(a.Announce(t.Context()))
	members, err := empty.ZRange(t.Context(), authapi.RevokedSet, 0, -1).Result()
	if err != nil || len(members) != 1 || members[0] == told.Member() {
		t.Errorf("%v, %v", members, err)
	}
	b.ok(b.repo.Sweep(t.Context(), b.clock.now()))
	if list, err := b.repo.Revocations(t.Context(), time.Time{}); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestAnnouncer_WakesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	a := b.announcer(b.rdb)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	sub := b.subscribe(b.rdb)
	in := b.login(b.register())
	b.ok(b.repo.EndSession(t.Context(), b.who(in).TenantID, b.who(in).UserID, in.Session, b.clock.now()))
	begin := time.Now()
	a.Wake()
	b.receive(sub, in.Session.String())
	if took := time.Since(begin); took > 900*time.Millisecond {
		t.Errorf("announced after %s", took)
	}
	stop()
	b.ok(<-ended)
}

func TestSweep_KeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	in := b.login(u)
	b.ok(b.repo.Sweep(t.Context(), b.clock.now()))
	_, err := b.Refresh(t.Context(), in.Refresh, home)
	b.ok(err)
	b.ok(b.VerifyEmail(t.Context(), b.mail(u, models.VerifyMail).Token))
	b.clock.pass(61 * 24 * time.Hour)
	b.ok(b.repo.Sweep(t.Context(), b.clock.now()))
	var n int
	b.ok(b.all.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM refresh_tokens) + (SELECT count(*) FROM mails)`).Scan(&n))
	if n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func (b *bundle) announcer(rdb goredis.UniversalClient) *services.Announcer {
	return services.NewAnnouncer(b.repo, b.announcements(rdb), b.clock.now)
}

func (b *bundle) subscribe(rdb goredis.UniversalClient) <-chan *goredis.Message {
	b.t.Helper()
	sub := rdb.Subscribe(b.t.Context(), authapi.RevocationsChannel)
	b.t.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return sub.Channel()
}

// receive waits for the announcement of the session; other tests use the same
// channel.
func (b *bundle) receive(messages <-chan *goredis.Message, session string) authapi.Revocation {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case m := <-messages:
			var told authapi.Revocation
			if err := json.Unmarshal([]byte(m.Payload), &told); err != nil {
				b.t.Fatal(err)
			}
			if told.Session == session {
				return told
			}
		case <-deadline:
			b.t.Fatal("not announced in time")
		}
	}
}
