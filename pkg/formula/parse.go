package formula

import (
	"strings"
	"unicode/utf8"
)

// Limits bound what a formula may cost. A field left 0 has the value of
// DefaultLimits.
type Limits struct {
	Source int // bytes of the source
	Depth  int // calls and parentheses in each other
	Text   int // bytes of any text that arises
	Items  int // elements of any list that arises
	Work   int // per evaluation, about the bytes of text that are looked at
}

// DefaultLimits are generous to what clients send (an OR of thousands of record
// ids) and keep one evaluation well below a second.
var DefaultLimits = Limits{Source: 256 << 10, Depth: 100, Text: 1 << 20, Items: 100_000, Work: 64 << 20}

// maxDepth is the deepest nesting that a caller may allow: recursion is bounded by it.
const maxDepth = 1_000

func (l Limits) orDefault() Limits {
	pick := func(n, otherwise int) int {
		if n <= 0 {
			return otherwise
		}
		return n
	}
	d := DefaultLimits
	return Limits{
		Source: pick(l.Source, d.Source), Depth: min(pick(l.Depth, d.Depth), maxDepth),
		Text: pick(l.Text, d.Text), Items: pick(l.Items, d.Items), Work: pick(l.Work, d.Work),
	}
}

// Node is a part of a parsed formula: *NumberNode, *TextNode, *FieldNode,
// *CallNode, *SignNode or *ChainNode, or one that Inline made. Nodes are immutable.
type Node interface {
	// Pos is where the part begins, in bytes from the start of the source.
	Pos() int
}

// NumberNode is a number as written.
type NumberNode struct {
	at    int
	Value float64
}

// TextNode is a text as meant: escapes are resolved.
type TextNode struct {
	at    int
	Value string
}

// FieldNode names a field, or the rollup's values.
type FieldNode struct {
	at   int
	end  int
	Name string
	Bare bool // written without braces
	slot int  // index into Expr.names
}

// CallNode calls a function; Name is in upper case.
type CallNode struct {
	at   int
	Name string
	Args []Node
	fn   *function
}

// SignNode is a minus sign before X; signs are counted out when parsing, and a
// plus sign is a SignNode that is not Negative.
type SignNode struct {
	at       int
	Negative bool
	X        Node
}

// ChainNode is a run of operators of one precedence, from left to right.
type ChainNode struct {
	First Node
	Rest  []Link
}

// Link is one operator of a chain and its right operand.
type Link struct {
	Op string
	X  Node
}

// Pos implements Node.
func (n *NumberNode) Pos() int { return n.at }

// Pos implements Node.
func (n *TextNode) Pos() int { return n.at }

// Pos implements Node.
func (n *FieldNode) Pos() int { return n.at }

// Pos implements Node.
func (n *CallNode) Pos() int { return n.at }

// Pos implements Node.
func (n *SignNode) Pos() int { return n.at }

// Pos implements Node.
func (n *ChainNode) Pos() int { return n.First.Pos() }

// Expr is a parsed formula that is not yet bound to a table. It is immutable and
// may be checked against many schemas.
type Expr struct {
	src    string
	root   Node
	names  []*FieldNode // first occurrence of each name as written
	limits Limits
}

// Parse reads a formula. The error is an *Error: the text is too long or nested too
// deeply, breaks the grammar, or calls a function that does not exist or with a
// number of arguments that it does not take.
func Parse(src string, limits Limits) (*Expr, error) {
	limits = limits.orDefault()
	if len(src) > limits.Source {
		return nil, fault(limits.Source, "formula longer than %d bytes", limits.Source)
	}
	if !utf8.ValidString(src) {
		return nil, fault(0, "not UTF-8")
	}
	p := &parser{lex: lexer{src: src}, slots: map[slotKey]int{}, limits: limits}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.level(0)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokEnd {
		return nil, fault(p.tok.pos, "unexpected %s", p.tok.describe())
	}
	return &Expr{src: src, root: root, names: p.names, limits: limits}, nil
}

// slotKey tells {values} from values.
type slotKey struct {
	name string
	bare bool
}

type parser struct {
	lex    lexer
	tok    token
	names  []*FieldNode
	slots  map[slotKey]int
	depth  int
	limits Limits
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	p.tok.end = p.lex.pos
	return err
}

func (p *parser) isOp(op string) bool { return p.tok.kind == tokOp && p.tok.text == op }

func (p *parser) expect(op string) error {
	if !p.isOp(op) {
		return fault(p.tok.pos, "%q expected, found %s", op, p.tok.describe())
	}
	return p.advance()
}

// precedence lists the operators, weakest first. Unconfirmed: that & binds weaker
// than + and stronger than comparisons, as in spreadsheets.
var precedence = [...]string{" = != < <= > >= ", " & ", " + - ", " * / "}

func (p *parser) level(n int) (Node, error) {
	if n == len(precedence) {
		return p.signed()
	}
	first, err := p.level(n + 1)
	if err != nil {
		return nil, err
	}
	var rest []Link
	for p.tok.kind == tokOp && strings.Contains(precedence[n], " "+p.tok.text+" ") {
		op := p.tok.text
		if err := p.advance(); err != nil {
			return nil, err
		}
		x, err := p.level(n + 1)
		if err != nil {
			return nil, err
		}
		rest = append(rest, Link{op, x})
	}
	if rest == nil {
		return first, nil
	}
	return &ChainNode{First: first, Rest: rest}, nil
}

func (p *parser) signed() (Node, error) {
	at, signs, negative := p.tok.pos, false, false
	for p.isOp("-") || p.isOp("+") {
		signs, negative = true, negative != p.isOp("-")
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	x, err := p.primary()
	if err != nil || !signs {
		return x, err
	}
	return &SignNode{at: at, Negative: negative, X: x}, nil
}

func (p *parser) primary() (Node, error) {
	t := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch {
	case t.kind == tokNumber:
		return &NumberNode{t.pos, t.num}, nil
	case t.kind == tokText:
		return &TextNode{t.pos, t.text}, nil
	case t.kind == tokField:
		return p.field(t, false), nil
	case t.kind == tokWord && p.isOp("("):
		return p.call(t)
	case t.kind == tokWord:
		if fn := functions[strings.ToUpper(t.text)]; fn != nil && fn.constant {
			return &CallNode{at: t.pos, Name: strings.ToUpper(t.text), fn: fn}, nil
		}
		return p.field(t, true), nil
	case t.kind == tokOp && t.text == "(":
		return p.parenthesis(t)
	}
	return nil, fault(t.pos, "value expected, found %s", t.describe())
}

func (p *parser) field(t token, bare bool) Node {
	key := slotKey{t.text, bare}
	slot, known := p.slots[key]
	n := &FieldNode{at: t.pos, end: t.end, Name: t.text, Bare: bare, slot: slot}
	if !known {
		n.slot = len(p.names)
		p.slots[key] = n.slot
		p.names = append(p.names, n)
	}
	return n
}

func (p *parser) deeper(pos int) error {
	if p.depth++; p.depth > p.limits.Depth {
		return fault(pos, "nested deeper than %d", p.limits.Depth)
	}
	return nil
}

func (p *parser) parenthesis(open token) (Node, error) {
	if err := p.deeper(open.pos); err != nil {
		return nil, err
	}
	x, err := p.level(0)
	if err != nil {
		return nil, err
	}
	p.depth--
	return x, p.expect(")")
}

func (p *parser) call(name token) (Node, error) {
	n := &CallNode{at: name.pos, Name: strings.ToUpper(name.text)}
	if n.fn = functions[n.Name]; n.fn == nil {
		return nil, fault(name.pos, "unknown function %s", name.text)
	}
	if err := p.deeper(name.pos); err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	for !p.isOp(")") || len(n.Args) > 0 {
		arg, err := p.level(0)
		if err != nil {
			return nil, err
		}
		n.Args = append(n.Args, arg)
		if !p.isOp(",") {
			break
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	p.depth--
	return n, n.checkArity()
}

func (n *CallNode) checkArity() error {
	switch fn := n.fn; {
	case len(n.Args) < fn.min:
		return fault(n.at, "%s needs at least %d arguments", n.Name, fn.min)
	case fn.max >= 0 && len(n.Args) > fn.max:
		return fault(n.at, "%s takes at most %d arguments", n.Name, fn.max)
	}
	return nil
}
