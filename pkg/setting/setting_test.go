package setting_test

import (
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/setting"
)

func TestSettings_TakeWhatIsReal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		parse func(string) (string, string)
		good  map[string]string // and how it is stored
		bad   []string
	}{
		"url": {setting.URL, map[string]string{"": "", "https://example.com/a.png?x=1": "https://example.com/a.png?x=1", "http://[::1]:80/a": "http://[::1]:80/a"},
			[]string{"javascript:alert(1)", "data:image/png;base64,AA", "ftp://a/b", "//a/b", "/a", "https://", "https://u:p@example.com/", "https://a b/", "https://a/\n", "http://%zz", "https://a/" + strings.Repeat("a", 2048)}},
		"locale": {setting.Locale, map[string]string{"": "en", "de": "de", "en-gb": "en-GB", "zh-hant-tw": "zh-Hant-TW", "sr-Latn": "sr-Latn"},
			[]string{"english please", "x y", "und", "-", "e", "qqqqqqqqqqq"}},
		"zone": {setting.Zone, map[string]string{"": "UTC", "Europe/London": "Europe/London", "America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires", "Etc/GMT+5": "Etc/GMT+5"},
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
