package models_test

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
)

var (
	start     = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	lifetimes = models.Lifetimes{Access: 15 * time.Minute, Idle: 24 * time.Hour, Max: 72 * time.Hour, Grace: 10 * time.Second}
)

// chain is a family with its first token.
func chain() (*models.Family, string) {
	first := models.NewSecret(models.RefreshPrefix)
	f := &models.Family{Session: models.Session{CreatedAt: start}, Tokens: []models.RefreshToken{{Hash: models.Hash(first)}}}
	f.Session.Use(lifetimes, start)
	return f, first
}

// present presents the token and keeps the new link, as the repository would.
func present(f *models.Family, token string, after time.Duration) (string, models.Outcome) {
	f.Issued, f.Spent = nil, nil
	next, outcome := f.Present(token, lifetimes, []byte(fmt.Sprint("salt", after)), start.Add(after))
	if f.Issued != nil {
		f.Tokens = append(f.Tokens, *f.Issued)
	}
	return next, outcome
}

func TestFamily_Present(t *testing.T) {
	t.Parallel()
	const s = time.Second
	type step struct {
		token   int // 0 is the first, n the answer of step n
		after   time.Duration
		want    models.Outcome
		sameAs  int // the answer equals that of this step; 0 for none
		revoked bool
	}
	for name, steps := range map[string][]step{
		"each token leads to the next":            {{0, 60 * s, models.Rotated, 0, false}, {1, 120 * s, models.Rotated, 0, false}, {2, 180 * s, models.Rotated, 0, false}},
		"a repeat within the grace time":          {{0, 60 * s, models.Rotated, 0, false}, {0, 69 * s, models.Repeated, 1, false}},
		"a repeat after the successor was used":   {{0, 60 * s, models.Rotated, 0, false}, {1, 62 * s, models.Rotated, 0, false}, {0, 65 * s, models.Repeated, 2, false}},
		"reuse after the grace time":              {{0, 60 * s, models.Rotated, 0, false}, {0, 70 * s, models.Reused, 0, true}, {1, 71 * s, models.Revoked, 0, true}},
		"reuse of an older one":                   {{0, 60 * s, models.Rotated, 0, false}, {1, 120 * s, models.Rotated, 0, false}, {0, 121 * s, models.Reused, 0, true}},
		"a thief in the race is found out later":  {{0, 60 * s, models.Rotated, 0, false}, {0, 61 * s, models.Repeated, 1, false}, {1, 900 * s, models.Rotated, 0, false}, {1, 950 * s, models.Reused, 0, true}},
		"an idle session":                         {{0, 25 * time.Hour, models.Expired, 0, false}},
		"a session that is used, but too old":     {{0, 23 * time.Hour, models.Rotated, 0, false}, {1, 46 * time.Hour, models.Rotated, 0, false}, {2, 69 * time.Hour, models.Rotated, 0, false}, {3, 72 * time.Hour, models.Expired, 0, false}},
		"an old token of an expired session only": {{0, 60 * s, models.Rotated, 0, false}, {0, 30 * time.Hour, models.Expired, 0, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, first := chain()
			tokens := []string{first}
			for i, st := range steps {
				next, outcome := present(f, tokens[st.token], st.after)
				tokens = append(tokens, next)
				if outcome != st.want || f.Session.RevokedAt.IsZero() == st.revoked {
					t.Fatalf("step %d: %s, revoked at %s", i+1, outcome, f.Session.RevokedAt)
				}
				if (next == "") != (outcome != models.Rotated && outcome != models.Repeated) || st.sameAs > 0 && next != tokens[st.sameAs] {
					t.Fatalf("step %d: answer %q", i+1, next)
				}
			}
		})
	}
}

func TestFamily_PresentUnknownTokenChangesNothing(t *testing.T) {
	t.Parallel()
	f, _ := chain()
	before := f.Session
	if next, outcome := present(f, models.NewSecret(models.RefreshPrefix), time.Second); next != "" || outcome != models.Unknown || f.Session != before {
		t.Errorf("%q %s", next, outcome)
	}
}

func TestPasswordFault(t *testing.T) {
	t.Parallel()
	for password, ok := range map[string]bool{
		"a long enough passphrase": true, "ünïcödé!": true, strings.Repeat("ab", 36): true, "        x": true,
		"": false, "short": false, "ünïcöd": false, strings.Repeat("ab", 36) + "c": false, strings.Repeat("ü", 37): false,
		"password": false, "PassWord123": false, "zzzzzzzz": false, "ada.lovelace": false, "Ada.Lovelace@example.com": false, "nul\x00nulnul": false, "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8": false,
	} {
		if fault := models.PasswordFault(password, "ada.lovelace@example.com"); (fault == "") != ok {
			t.Errorf("%q: %q", password, fault)
		}
	}
}

func TestEmailKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ada@Example.COM": "ada@example.com", " ada@example.com ": "ada@example.com", "a+b@x.y": "a+b@x.y", "ÅSA@example.com": "åsa@example.com",
		"": "", "ada": "", "@x": "", "Ada <ada@example.com>": "", "a@b, c@d": "", "a b@x.y": "", "a@x.y\r\nBcc: z@x.y": "", `"a b"@x.y`: "", strings.Repeat("a", 251) + "@x.y": "",
	} {
		if got, ok := models.EmailKey(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
}

func TestTOTP_AcceptsEachStepOnceAndNeverBack(t *testing.T) {
	t.Parallel()
	var f models.TOTP
	var got []bool
	for _, step := range []int64{100, 100, 99, 101, 100, 101, 102} {
		got = append(got, f.Accept(step))
	}
	if d := cmp.Diff([]bool{true, false, false, true, false, false, true}, got); d != "" {
		t.Error(d)
	}
}

func TestBackoff_DoublesUpToItsLimit(t *testing.T) {
	t.Parallel()
	b := models.Backoff{Free: 3, Base: time.Second, Max: 10 * time.Second}
	for failures, want := range map[int]time.Duration{0: 0, 2: 0, 3: 1, 4: 2, 5: 4, 6: 8, 7: 10, 100: 10} {
		if got := b.Wait(models.Tally{Failures: failures, Last: start}, start); got != want*time.Second {
			t.Errorf("%d failures: %s", failures, got)
		}
	}
	if got := b.Wait(models.Tally{Failures: 5, Last: start}, start.Add(3*time.Second)); got != time.Second {
		t.Errorf("after three of four seconds: %s", got)
	}
	if got := b.Wait(models.Tally{Failures: 5, Last: start}, start.Add(time.Hour)); got != 0 {
		t.Errorf("long after: %s", got)
	}
}

func TestNetwork_IsWhatOneCustomerHas(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9%eth0": "2001:db8:1:2::/64",
		"": "unknown", "nonsense": "unknown",
	} {
		if got := models.Network(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestToken_TextHasAirtablesForm(t *testing.T) {
	t.Parallel()
	prefix, text := models.NewTokenText()
	if got, ok := models.TokenPrefix(text); !ok || got != prefix || len(text) != len("pat")+14+1+64 {
		t.Errorf("%q %q", prefix, text)
	}
	for _, bad := range []string{"", prefix, text + "0", text[:len(text)-1], strings.ToUpper(text), " " + text, strings.Replace(text, ".", "-", 1)} {
		if _, ok := models.TokenPrefix(bad); ok {
			t.Errorf("%q is taken for a token", bad)
		}
	}
}

func TestToken_AccessEndsWithTheToken(t *testing.T) {
	t.Parallel()
	tok := models.Token{ExpiresAt: start.Add(time.Minute)}
	if got := tok.AccessUntil(5*time.Minute, start); got != tok.ExpiresAt {
		t.Errorf("until %s", got)
	}
	if !tok.Live(start) || tok.Live(start.Add(time.Minute)) {
		t.Error("the expiry is not the end")
	}
}

func TestBadBase(t *testing.T) {
	t.Parallel()
	for want, list := range map[int][]string{
		-1: {"appAAAAAAAAAAAAAA", "appBBBBBBBBBBBBBB"}, 0: {"*", "appAAAAAAAAAAAAAA"}, 1: {"appAAAAAAAAAAAAAA", "tblAAAAAAAAAAAAAA"},
	} {
		if got := models.BadBase(list); got != want {
			t.Errorf("%v: %d", list, got)
		}
	}
	if models.BadBase([]string{"*"}) != -1 {
		t.Error("* alone is refused")
	}
}

// The life of a key ring, as the rotation would see it every hour for three
// periods: there is always a key to sign with, it was published long enough
// before, and stays published for as long as a token of its lives.
func TestKeyring_NoTokenEverMeetsAnUnpublishedKey(t *testing.T) {
	t.Parallel()
	p := models.KeyPolicy{Period: 48 * time.Hour, Ahead: 2 * time.Hour, Keep: 30 * time.Minute}
	var ring models.Keyring
	published := map[string]time.Time{}
	signed := map[string]time.Time{}
	n := 0
	for now := start; now.Before(start.Add(3 * p.Period)); now = now.Add(20 * time.Minute) {
		if from, due := ring.Due(p, now); due {
			n++
			_, private, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			ring = append(ring, models.Key{ID: fmt.Sprint(n), Private: private, ActiveFrom: from})
		}
		for _, id := range ring.Spent(p, now) {
			if now.Sub(signed[id]) < p.Keep {
				t.Errorf("key %s is forgotten %s after it signed", id, now.Sub(signed[id]))
			}
			ring = ring[1:]
		}
		for _, k := range ring {
			if _, ok := published[k.ID]; !ok {
				published[k.ID] = now
			}
		}
		k, ok := ring.Signer(now)
		if !ok {
			t.Fatalf("no key at %s", now)
		}
		if signed[k.ID].IsZero() && k.ID != "1" && now.Sub(published[k.ID]) < p.Ahead {
			t.Errorf("key %s signs %s after it was published", k.ID, now.Sub(published[k.ID]))
		}
		signed[k.ID] = now
	}
	if n != 4 || len(ring) > 2 {
		t.Errorf("%d keys were made, %d are left", n, len(ring))
	}
}

func TestKeyring_LateRotationStillPublishesAhead(t *testing.T) {
	t.Parallel()
	p := models.KeyPolicy{Period: 48 * time.Hour, Ahead: 2 * time.Hour, Keep: 30 * time.Minute}
	ring := models.Keyring{{ID: "1", ActiveFrom: start}}
	now := start.Add(10 * p.Period) // nobody ran for weeks
	if from, due := ring.Due(p, now); !due || from != now.Add(p.Ahead) {
		t.Errorf("%s %v", from, due)
	}
}
