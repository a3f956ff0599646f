package services

import (
	"errors"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
)

func TestParse_TakesWhatIsReal(t *testing.T) {
	t.Parallel()
	type parser = func(string) (string, string)
	for name, c := range map[string]struct {
		parse parser
		good  map[string]string // and how it is stored
		bad   []string
	}{
		"name": {parseName, map[string]string{"Ada": "Ada", " 李 ": "李", "O'Neil-Ü": "O'Neil-Ü"}, []string{"", " ", "a\nb", "a\x00"}},
		"avatar": {parseAvatar, map[string]string{"": "", "https://example.com/a.png?x=1": "https://example.com/a.png?x=1", "http://[::1]:80/a": "http://[::1]:80/a"},
			[]string{"javascript:alert(1)", "data:image/png;base64,AA", "ftp://a/b", "//a/b", "/a", "https://", "https://u:p@example.com/", "https://a b/", "https://a/\n", "http://%zz"}},
		"locale": {parseLocale, map[string]string{"": "en", "de": "de", "en-gb": "en-GB", "zh-hant-tw": "zh-Hant-TW", "sr-Latn": "sr-Latn"},
			[]string{"english please", "x y", "und", "-", "e", "qqqqqqqqqqq"}},
		"zone": {parseZone, map[string]string{"": "UTC", "Europe/London": "Europe/London", "America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires", "Etc/GMT+5": "Etc/GMT+5"},
			[]string{"Local", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "posix/UTC", "localtime", "Europe/London ", "Europe"}},
	} {
		for in, want := range c.good {
			if got, fault := c.parse(in); got != want || fault != "" {
				t.Errorf("%s %q: %q %s", name, in, got, fault)
			}
		}
		for _, in := range c.bad {
			if got, fault := c.parse(in); fault == "" {
				t.Errorf("%s %q was taken as %q", name, in, got)
			}
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
