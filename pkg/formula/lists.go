package formula

import "strings"

// flatten returns the values with lists replaced by their elements, down to
// maxListDepth.
func flatten(vs ...Value) []Value {
	flat := true
	for _, v := range vs {
		flat = flat && v.kind != KindList
	}
	if flat {
		return vs
	}
	return flattenInto(nil, vs, maxListDepth)
}

func flattenInto(out, vs []Value, depth int) []Value {
	for _, v := range vs {
		switch {
		case v.kind != KindList:
			out = append(out, v)
		case depth > 0:
			out = flattenInto(out, v.list, depth-1)
		}
	}
	return out
}

// newList returns a list that was made, unless it is too long.
func (ev *evaluator) newList(vs []Value) Value {
	if len(vs) > ev.f.limits.Items || !ev.charge(len(vs)) {
		return Fail("list too long")
	}
	return List(vs...)
}

func fnArrayJoin(ev *evaluator, args []Value) Value {
	separator := listSeparator
	if len(args) == 2 {
		separator = args[1].String()
	}
	items := flatten(args[0])
	parts := make([]string, len(items))
	size := 0
	for i, item := range items {
		parts[i] = item.String()
		size += len(parts[i]) + len(separator)
	}
	if size > ev.f.limits.Text+len(separator) {
		return errTooLong
	}
	return ev.text(strings.Join(parts, separator))
}

func fnArrayUnique(ev *evaluator, args []Value) Value {
	type key struct {
		kind Kind
		text string
	}
	seen := map[key]bool{}
	var out []Value
	for _, item := range flatten(args...) {
		k := key{item.kind, item.String()}
		if item.kind == KindBool {
			k.kind = KindNumber
		}
		if !seen[k] {
			seen[k] = true
			out = append(out, item)
		}
	}
	return ev.newList(out)
}

func fnArrayCompact(ev *evaluator, args []Value) Value {
	var out []Value
	for _, item := range flatten(args...) {
		if !item.empty() {
			out = append(out, item)
		}
	}
	return ev.newList(out)
}

func fnArrayFlatten(ev *evaluator, args []Value) Value { return ev.newList(flatten(args...)) }

// fnArraySlice counts from 1, and from the end with negative numbers; both ends are
// in the slice.
func fnArraySlice(ev *evaluator, args []Value) Value {
	items := flatten(args[0])
	start, failed := number(args, 1, 1)
	if failed.kind == KindError {
		return failed
	}
	end, failed := number(args, 2, float64(len(items)))
	if failed.kind == KindError {
		return failed
	}
	from, to := place(start, len(items)), place(end, len(items))
	from = max(from, 1)
	to = min(to, len(items))
	if from > to {
		return List()
	}
	return ev.newList(items[from-1 : to])
}

// place is a position counted from 1, where -1 is the last of n.
func place(at float64, n int) int {
	i := clampInt(at)
	if i < 0 {
		return n + i + 1
	}
	return i
}

// clampInt cuts a number to an int that can be added to others without overflow.
func clampInt(n float64) int {
	if n != n {
		return 0
	}
	return int(max(-1<<40, min(1<<40, n)))
}
