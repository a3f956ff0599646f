package scim

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
)

// Filters and orders go to the database as paths of SQL/JSON into an object of two
// members: the resource as "e" and, in lower case with its names, as "l". Times of the
// resource are written as TimeLayout, so that they compare as texts.
const (
	exactRoot = `$."e"`
	lowerRoot = `$."l"`
	// TimeLayout is in UTC.
	TimeLayout = "2006-01-02T15:04:05.000000Z"
)

// never is true of nothing.
const never = `(1 == 2)`

// Path is a predicate that is true of what the filter matches; a nil filter has none: "".
// It refuses with InvalidFilter what has no path.
func (f *Filter) Path() (string, error) {
	if f == nil {
		return "", nil
	}
	return f.root.path(exactRoot)
}

func (b both) path(in string) (string, error)   { return joined(in, b.a, " && ", b.b) }
func (e either) path(in string) (string, error) { return joined(in, e.a, " || ", e.b) }

func joined(in string, a node, op string, b node) (string, error) {
	x, err := a.path(in)
	if err != nil {
		return "", err
	}
	y, err := b.path(in)
	return "(" + x + op + y + ")", err
}

func (n not) path(in string) (string, error) {
	x, err := n.n.path(in)
	return "!(" + x + ")", err
}

func (w within) path(in string) (string, error) {
	x, err := w.n.path("@")
	return exists(in+w.at.steps(asIs), x), err
}

// exists is true if something at the path is as the predicate says. It is never unknown.
func exists(at, predicate string) string { return "exists(" + at + " ? (" + predicate + "))" }

func asIs(s string) string { return s }

// steps lead to the target's values, one by one.
func (t target) steps(name func(string) string) string {
	var out strings.Builder
	step := func(s string) { out.WriteString("." + quoted(name(s))) }
	if t.urn != "" {
		step(t.urn)
	}
	step(t.attr.Name)
	out.WriteString("[*]")
	if t.sub != nil {
		step(t.sub.Name)
		out.WriteString("[*]")
	}
	return out.String()
}

// value are the steps to what is compared: of a complex attribute its value.
func (t target) value(name func(string) string) string {
	a := t.attr
	if t.sub != nil {
		a = t.sub
	}
	if a.kind() == complexly {
		return t.steps(name) + "." + quoted("value")
	}
	return t.steps(name)
}

// quoted is a text as paths have it.
func quoted(s string) string {
	b, _ := json.Marshal(s) //nolint:errchkjson // a text always can
	return string(b)
}

func (c compare) path(in string) (string, error) {
	switch c.op {
	case "ne":
		x, err := compare{c.at, "eq", c.value}.path(in)
		return "!(" + x + ")", err
	case "pr":
		return exists(in+c.at.steps(asIs), `@.type() != "null" && !(@.type() == "string" && @ == "")`), nil
	}
	switch v := c.value.(type) {
	case nil:
		return "!" + exists(in+c.at.steps(asIs), `@.type() != "null"`), nil
	case bool:
		return exists(in+c.at.value(asIs), map[bool]string{true: "@ == true", false: "@ == false"}[v]), nil
	case string:
		return c.text(in, v)
	}
	return never, nil // nothing here is a number
}

// symbols are the operators that order.
var symbols = map[string]string{"eq": "==", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}

func (c compare) text(in, v string) (string, error) {
	symbol, orders := symbols[c.op]
	def := c.at.leaf()
	switch {
	case strings.ContainsRune(v, 0):
		return never, nil
	case def.kind() == moment:
		at, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return "", refuse(InvalidFilter, "%q is no time.", v)
		}
		if !orders {
			return "", refuse(InvalidFilter, "%s does not compare times.", c.op)
		}
		return exists(in+c.at.value(asIs), "@ "+symbol+" "+quoted(at.UTC().Format(TimeLayout))), nil
	case def.CaseExact && orders:
		return exists(in+c.at.value(asIs), "@ "+symbol+" "+quoted(v)), nil
	case c.op != "eq" && orders:
		if in != exactRoot {
			return "", refuse(InvalidFilter, "%s is not for values in brackets.", c.op)
		}
		return exists(lowerRoot+c.at.value(strings.ToLower), "@ "+symbol+" "+quoted(strings.ToLower(v))), nil
	}
	pattern := literal(v, !def.CaseExact)
	if c.op == "eq" || c.op == "sw" {
		pattern = "^" + pattern
	}
	if c.op == "eq" || c.op == "ew" {
		pattern += "$"
	}
	return exists(in+c.at.value(asIs), "@ like_regex "+quoted(pattern)), nil
}

// literal is a regular expression that matches the text, in whatever case if fold says so.
// Cases are those of Unicode, whatever the database's language is.
func literal(s string, fold bool) string {
	var out strings.Builder
	for _, r := range s {
		other := unicode.SimpleFold(r)
		switch {
		case fold && other != r:
			out.WriteString("[" + string(r))
			for ; other != r; other = unicode.SimpleFold(other) {
				out.WriteRune(other)
			}
			out.WriteString("]")
		case r < unicode.MaxASCII && !unicode.IsLetter(r) && !unicode.IsDigit(r):
			out.WriteString(`\` + string(r))
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// Order is by what a list is ordered: by the first of the paths that leads to anything, in
// lower case unless the case counts. What has nothing there comes last.
type Order struct {
	Paths []string
	Exact bool
	Down  bool
}

// Order reads sortBy and sortOrder (RFC 7644, section 3.4.2.3); without the former it is
// the zero value. Of many values the primary one counts.
func (t *Type) Order(by, order string) (Order, error) {
	if by == "" {
		return Order{}, nil
	}
	at, ok := t.resolve(by)
	if !ok {
		return Order{}, refuse(InvalidValue, "There is no attribute %q to sort by.", by)
	}
	down := strings.EqualFold(order, "descending")
	if order != "" && !down && !strings.EqualFold(order, "ascending") {
		return Order{}, refuse(InvalidValue, "sortOrder has to be ascending or descending.")
	}
	const sortable = ` ? (@.type() == "string" || @.type() == "boolean")`
	o := Order{Exact: at.leaf().CaseExact, Down: down}
	if at.attr.Many && at.sub == nil && at.attr.kind() == complexly {
		o.Paths = append(o.Paths, exactRoot+at.steps(asIs)+` ? (@."primary" == true)."value"`+sortable)
	}
	o.Paths = append(o.Paths, exactRoot+at.value(asIs)+sortable)
	return o, nil
}
