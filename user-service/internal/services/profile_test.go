package services

import (
	"errors"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
)

func TestParseName_TakesWhatCanBeRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"Ada": "Ada", " 李 ": "李", "O'Neil-Ü": "O'Neil-Ü"} {
		if got, fault := parseName(in); got != want || fault != "" {
			t.Errorf("%q: %q %s", in, got, fault)
		}
	}
	for _, in := range []string{"", " ", "a\nb", "a\x00"} {
		if got, fault := parseName(in); fault == "" {
			t.Errorf("%q was taken as %q", in, got)
		}
	}
}

func TestApply_NamesEveryFault(t *testing.T) {
	t.Parallel()
	bad := "\x00 "
	_, err := Change{Name: &bad, AvatarURL: &bad, Locale: &bad, TimeZone: &bad, Preferences: models.Preferences{"a": []byte("{")}}.apply(models.Profile{})
	var e *errs.Error
	if !errors.As(err, &e) || !errors.Is(err, userapi.ErrBadProfile) || len(e.Fields) != 5 {
		t.Errorf("got %v", err)
	}
}
