package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/seal"
)

func box(t *testing.T, keys ...string) *seal.Box {
	t.Helper()
	b, err := seal.New(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSeal_OpensOnlyUnchangedAndInItsContext(t *testing.T) {
	t.Parallel()
	b := box(t, seal.NewKey())
	plain, context := []byte("patXYZ.secret"), []byte("connection/1")
	sealed, err := b.Seal(plain, context)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, plain) {
		t.Fatal("the plain value shows")
	}
	got, err := b.Open(sealed, context)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Open = %q, %v", got, err)
	}
	if _, err := b.Open(sealed, []byte("connection/2")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("another context: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := b.Open(bad, context); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := b.Open(sealed[:i], context); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestSeal_NeverRepeatsItself(t *testing.T) {
	t.Parallel()
	b := box(t, seal.NewKey())
	one, _ := b.Seal([]byte("x"), nil)
	two, _ := b.Seal([]byte("x"), nil)
	if bytes.Equal(one, two) {
		t.Error("the same value was sealed to the same bytes")
	}
}

func TestRotation_OldKeyOpensNewKeySeals(t *testing.T) {
	t.Parallel()
	oldKey, newKey := seal.NewKey(), seal.NewKey()
	before, during, after := box(t, oldKey), box(t, newKey, oldKey), box(t, newKey)
	sealed, err := before.Seal([]byte("v"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if before.Stale(sealed) || !during.Stale(sealed) {
		t.Error("Stale must be true exactly while another key is first")
	}
	plain, err := during.Open(sealed, nil)
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err = during.Seal(plain, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := after.Open(sealed, nil); err != nil || string(got) != "v" {
		t.Errorf("Open = %q, %v", got, err)
	}
	if _, err := before.Open(sealed, nil); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("a box without the key opened it: %v", err)
	}
}

func TestNew_RefusesBadKeysWithoutShowingThem(t *testing.T) {
	t.Parallel()
	good := seal.NewKey()
	secret := strings.Repeat("S3cret", 9)
	for name, keys := range map[string]string{
		"empty": "", "no id": ":" + secret, "no key": "k1", "short": "k1:c2hvcnQ=",
		"not base64": "k1:" + secret + "!", "twice": good + "," + good, "trailing comma": good + ",",
	} {
		_, err := seal.New(keys)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}
