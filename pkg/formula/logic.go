package formula

import "math"

func fnIf(ev *evaluator, n *CallNode) Value {
	condition := ev.eval(n.Args[0])
	switch {
	case condition.kind == KindError:
		return condition
	case condition.Truthy():
		return ev.eval(n.Args[1])
	case len(n.Args) == 3:
		return ev.eval(n.Args[2])
	}
	return Blank()
}

func fnSwitch(ev *evaluator, n *CallNode) Value {
	subject := ev.eval(n.Args[0])
	if subject.kind == KindError {
		return subject
	}
	i := 1
	for ; i+1 < len(n.Args); i += 2 {
		pattern := ev.eval(n.Args[i])
		if pattern.kind == KindError {
			return pattern
		}
		if !ev.charge(min(subject.size(), pattern.size())) {
			return errTooMuch
		}
		if equal(subject.scalar(), pattern.scalar()) {
			return ev.eval(n.Args[i+1])
		}
	}
	if i < len(n.Args) {
		return ev.eval(n.Args[i])
	}
	return Blank()
}

// count evaluates all arguments, the elements of lists each for itself, and counts
// those that are true.
//
// Unconfirmed: an error among them is the result, whatever the others are.
func (ev *evaluator) count(n *CallNode) (yes, all int, failed Value) {
	for _, arg := range n.Args {
		v := ev.eval(arg)
		if v.kind == KindError {
			return 0, 0, v
		}
		if !ev.charge(len(v.list)) {
			return 0, 0, errTooMuch
		}
		for _, item := range flatten(v) {
			if item.kind == KindError {
				return 0, 0, item
			}
			if all++; item.Truthy() {
				yes++
			}
		}
	}
	return yes, all, Value{}
}

func fnAnd(ev *evaluator, n *CallNode) Value {
	yes, all, failed := ev.count(n)
	if failed.kind == KindError {
		return failed
	}
	return Bool(yes == all)
}

func fnOr(ev *evaluator, n *CallNode) Value {
	yes, _, failed := ev.count(n)
	if failed.kind == KindError {
		return failed
	}
	return Bool(yes > 0)
}

func fnXor(ev *evaluator, n *CallNode) Value {
	yes, _, failed := ev.count(n)
	if failed.kind == KindError {
		return failed
	}
	return Bool(yes%2 == 1)
}

func fnNot(_ *evaluator, args []Value) Value { return Bool(!args[0].Truthy()) }

func fnTrue(*evaluator, []Value) Value { return Bool(true) }

func fnFalse(*evaluator, []Value) Value { return Bool(false) }

func fnBlank(*evaluator, []Value) Value { return Blank() }

func fnError(_ *evaluator, args []Value) Value {
	if len(args) == 0 {
		return Fail("ERROR()")
	}
	return Fail(args[0].String())
}

// fnIsError holds NaN and the infinities for errors too.
func fnIsError(ev *evaluator, n *CallNode) Value {
	v := ev.eval(n.Args[0])
	return Bool(v.kind == KindError || v.kind == KindNumber && (math.IsNaN(v.num) || math.IsInf(v.num, 0)))
}
