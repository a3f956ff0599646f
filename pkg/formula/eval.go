package formula

import (
	"math"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Env is the record that a formula is evaluated for, and the time at which. An Env
// may be used for many records, one after the other.
type Env struct {
	Now time.Time // NOW() and TODAY()

	// Cell returns the value of the field with this id. nil: all cells are empty.
	Cell func(field string) Value

	RecordID string
	Created  time.Time

	// Modified returns when one of the fields with these ids (none: any field) was
	// last changed, or the zero time. nil: never.
	Modified func(fields []string) time.Time

	Values []Value // of a rollup
}

// Eval evaluates the formula. Whatever goes wrong is an error value. It returns
// what the formula says; a formula field shows Result of it.
func (f *Formula) Eval(env *Env) Value {
	ev := evaluator{f: f, env: env, left: f.limits.Work}
	return ev.eval(f.root)
}

// EvalWithin is Eval with at most the given work, from which it takes what it did. A
// negative rest means that it was not enough: then the value is an error.
func (f *Formula) EvalWithin(env *Env, work *int) Value {
	ev := evaluator{f: f, env: env, left: *work}
	v := ev.eval(f.root)
	*work = ev.left
	if ev.left < 0 {
		return errTooMuch
	}
	return v
}

// Limits returns the limits that the formula was parsed with, none of them 0.
func (f *Formula) Limits() Limits { return f.limits }

// Matches reports whether the record passes the formula as a filterByFormula.
func (f *Formula) Matches(env *Env) bool { return f.Eval(env).Truthy() }

type evaluator struct {
	f    *Formula
	env  *Env
	left int // work that may still be done
}

// What evaluations yield that would go beyond the formula's limits.
var (
	errTooMuch = Fail("too much work")
	errTooLong = Fail("text too long")
)

// charge counts work, and reports whether there is any left for it.
func (ev *evaluator) charge(n int) bool {
	if n > ev.left {
		ev.left = -1
		return false
	}
	ev.left -= n
	return true
}

func (ev *evaluator) eval(n Node) Value {
	if !ev.charge(1) {
		return errTooMuch
	}
	switch n := n.(type) {
	case *NumberNode:
		return Number(n.Value)
	case *TextNode:
		return Text(n.Value)
	case *FieldNode:
		return ev.field(n)
	case *SignNode:
		v := ev.eval(n.X).toNumber()
		if v.kind == KindNumber && n.Negative {
			return Number(-v.num)
		}
		return v
	case *ChainNode:
		return ev.chain(n)
	case *CallNode:
		return ev.call(n)
	case *resultNode:
		return n.f.Result(ev.eval(n.x))
	}
	return Blank()
}

func (ev *evaluator) field(n *FieldNode) Value {
	field, ok := ev.f.Field(n)
	switch {
	case !ok:
		return List(ev.env.Values...)
	case ev.env.Cell == nil:
		return Blank()
	}
	return ev.env.Cell(field.ID)
}

func (ev *evaluator) call(n *CallNode) Value {
	if n.fn.lazy != nil {
		return n.fn.lazy(ev, n)
	}
	args := make([]Value, len(n.Args))
	for i, arg := range n.Args {
		args[i] = ev.eval(arg)
		if args[i].kind == KindError {
			return args[i]
		}
		if !ev.charge(args[i].size()) {
			return errTooMuch
		}
	}
	return n.fn.eager(ev, args)
}

// size is what it costs to look at v.
func (v Value) size() int {
	n := len(v.text)
	for _, item := range v.list {
		n += 1 + len(item.text) + 8*len(item.list)
	}
	return n
}

// text returns a text that was made, unless it is too long.
func (ev *evaluator) text(s string) Value {
	if len(s) > ev.f.limits.Text {
		return errTooLong
	}
	if !ev.charge(len(s)) {
		return errTooMuch
	}
	return Text(s)
}

func (ev *evaluator) chain(n *ChainNode) Value {
	if n.Rest[0].Op == "&" {
		return ev.concat(n)
	}
	v := ev.eval(n.First)
	for _, link := range n.Rest {
		if v.kind == KindError {
			return v
		}
		right := ev.eval(link.X)
		if right.kind == KindError {
			return right
		}
		if !ev.charge(min(v.size(), right.size())) {
			return errTooMuch
		}
		v = operate(link.Op, v, right)
	}
	return v
}

func (ev *evaluator) concat(n *ChainNode) Value {
	parts := make([]Node, 0, 1+len(n.Rest))
	parts = append(parts, n.First)
	for _, link := range n.Rest {
		parts = append(parts, link.X)
	}
	return ev.concatenate(parts)
}

func (ev *evaluator) concatenate(parts []Node) Value {
	var b strings.Builder
	for _, part := range parts {
		v := ev.eval(part)
		if v.kind == KindError {
			return v
		}
		if !ev.charge(v.size() + 1) {
			return errTooMuch
		}
		s := v.String()
		if b.Len()+len(s) > ev.f.limits.Text {
			return errTooLong
		}
		if !ev.charge(len(s)) {
			return errTooMuch
		}
		b.WriteString(s)
	}
	return Text(b.String())
}

func operate(op string, a, b Value) Value {
	switch op {
	case "=":
		return Bool(equal(a.scalar(), b.scalar()))
	case "!=":
		return Bool(!equal(a.scalar(), b.scalar()))
	case "+", "-", "*", "/":
		return arithmetic(op, a.toNumber(), b.toNumber())
	}
	return compare(op, a.scalar(), b.scalar())
}

func arithmetic(op string, a, b Value) Value {
	switch {
	case a.kind == KindError:
		return a
	case b.kind == KindError:
		return b
	case op == "+":
		return Number(a.num + b.num)
	case op == "-":
		return Number(a.num - b.num)
	case op == "*":
		return Number(a.num * b.num)
	}
	return Number(a.num / b.num)
}

// likeBlank makes blank of "" when the other side is a number, so that "" and 0
// are equal, as both equal blank. Unconfirmed.
func likeBlank(a, b Value) Value {
	if a.kind == KindText && a.text == "" && b.kind != KindText {
		return Blank()
	}
	return a
}

// equal compares two values that are neither lists nor errors. Blank equals 0 and
// "". Unconfirmed: a date equals the text that it would be shown as, a number
// equals no text but "" if it is 0.
func equal(a, b Value) bool {
	a, b = likeBlank(a, b), likeBlank(b, a)
	if a.kind == KindBlank {
		a, b = b, a
	}
	switch {
	case b.kind == KindBlank:
		return a.empty() || a.numeric() && a.num == 0
	case a.numeric() && b.numeric(), a.kind == KindDate && b.kind == KindDate:
		return a.num == b.num
	case a.kind == KindText && (b.kind == KindText || b.kind == KindDate),
		a.kind == KindDate && b.kind == KindText:
		return a.String() == b.String()
	}
	return false
}

// compare orders two values that are neither lists nor errors. Blank is 0 to a
// number and "" to a text. Unconfirmed: a missing date is neither before nor after
// another; a date is to a text as what it would be shown as; other kinds do not
// compare and yield an error.
func compare(op string, a, b Value) Value {
	a, b = likeBlank(a, b), likeBlank(b, a)
	order := 0
	switch {
	case a.kind == KindDate && b.kind == KindBlank, a.kind == KindBlank && b.kind == KindDate:
		return Bool(false)
	case a.kind == KindDate && b.kind == KindDate:
		order = compareNumbers(a.num, b.num)
	case (a.numeric() || a.kind == KindBlank) && (b.numeric() || b.kind == KindBlank):
		if math.IsNaN(a.num) || math.IsNaN(b.num) {
			return Bool(false)
		}
		order = compareNumbers(a.num, b.num)
	case a.numeric() || b.numeric():
		return Fail(a.kind.String() + " and " + b.kind.String() + " do not compare")
	default:
		order = compareText(a.String(), b.String())
	}
	switch op {
	case "<":
		return Bool(order < 0)
	case "<=":
		return Bool(order <= 0)
	case ">":
		return Bool(order > 0)
	}
	return Bool(order >= 0)
}

func compareNumbers(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareText orders by UTF-16 code unit, as JavaScript does (unconfirmed), which
// differs from the order of bytes for characters above U+FFFF.
func compareText(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && (i < len(a) && !utf8.RuneStart(a[i]) || i < len(b) && !utf8.RuneStart(b[i])) {
		i--
	}
	if i == len(a) || i == len(b) {
		return len(a) - len(b)
	}
	ra, _ := utf8.DecodeRuneInString(a[i:])
	rb, _ := utf8.DecodeRuneInString(b[i:])
	ua, ub := utf16.AppendRune(nil, ra), utf16.AppendRune(nil, rb)
	if ua[0] != ub[0] {
		return int(ua[0]) - int(ub[0])
	}
	return int(ua[len(ua)-1]) - int(ub[len(ub)-1])
}
