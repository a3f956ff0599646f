package formula

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPattern_FindsInLongTextsWhatRegexpFinds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("foo bar_baz\n😀 12 \xff", 200) + "end"
	if len(long) <= shortText {
		t.Fatal("the text is not long")
	}
	for _, source := range []string{`\bb`, `(?m)^.`, `^f`, `o*`, `\w+$`, `(\w)(\w)?`, ` ?`, `x*|b`, `(?i)FOO`, `\B`, `$`, `nowhere`, `(?s).{7}`, ``, `(a)|(b)|\z`, `(?:)|o`} {
		p := compilePattern(source)
		ev := evaluator{f: &Formula{limits: DefaultLimits}, left: 1 << 40}
		got, ok := p.all(&ev, long)
		if !ok {
			t.Errorf("%s: gave up", source)
		}
		if diff := cmp.Diff(p.re.FindAllStringSubmatchIndex(long, -1), got); diff != "" {
			t.Errorf("%s\n%.600s", source, diff)
		}
	}
}

func TestPattern_GivesUpWhenWorkIsSpent(t *testing.T) {
	t.Parallel()
	p := compilePattern(`a*b|a`)
	ev := evaluator{f: &Formula{limits: DefaultLimits}, left: 10_000_000}
	if _, ok := p.all(&ev, strings.Repeat("a", 100_000)); ok {
		t.Error("a quadratic search came to an end")
	}
}
