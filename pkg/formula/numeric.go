package formula

import (
	"math"
	"strconv"
	"strings"
)

// number returns the i-th argument as a number, otherwise if there is none.
func number(args []Value, i int, otherwise float64) (n float64, failed Value) {
	if i >= len(args) {
		return otherwise, Value{}
	}
	v := args[i].toNumber()
	if v.kind == KindError {
		return 0, v
	}
	return v.num, Value{}
}

func unary(args []Value, f func(float64) float64) Value {
	n, failed := number(args, 0, 0)
	if failed.kind == KindError {
		return failed
	}
	return Number(f(n))
}

func binary(args []Value, second float64, f func(a, b float64) float64) Value {
	a, failed := number(args, 0, 0)
	if failed.kind == KindError {
		return failed
	}
	b, failed := number(args, 1, second)
	if failed.kind == KindError {
		return failed
	}
	return Number(f(a, b))
}

func fnAbs(_ *evaluator, args []Value) Value  { return unary(args, math.Abs) }
func fnSqrt(_ *evaluator, args []Value) Value { return unary(args, math.Sqrt) }
func fnExp(_ *evaluator, args []Value) Value  { return unary(args, math.Exp) }
func fnInt(_ *evaluator, args []Value) Value  { return unary(args, math.Floor) }

func fnPower(_ *evaluator, args []Value) Value { return binary(args, 0, math.Pow) }

func fnLog(_ *evaluator, args []Value) Value {
	return binary(args, 10, func(n, base float64) float64 {
		switch base {
		case 10:
			return math.Log10(n)
		case 2:
			return math.Log2(n)
		}
		power := math.Log(n) / math.Log(base)
		if whole := math.Round(power); math.Pow(base, whole) == n {
			return whole // which division misses by a bit
		}
		return power
	})
}

// shift multiplies by a power of ten in decimals, so that 1.005 becomes 100.5 and
// not a bit less.
func shift(n float64, places int) float64 {
	if n == 0 || math.IsNaN(n) || math.IsInf(n, 0) {
		return n
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(n, 'e', -1, 64), "e")
	e, _ := strconv.Atoi(exponent)
	shifted, _ := strconv.ParseFloat(mantissa+"e"+strconv.Itoa(e+places), 64)
	return shifted
}

func rounded(args []Value, round func(float64) float64) Value {
	return binary(args, 0, func(n, precision float64) float64 {
		if math.IsNaN(precision) {
			return precision
		}
		places := int(max(-400, min(400, math.Trunc(precision))))
		at := shift(n, places)
		if math.Abs(at) >= 1<<53 {
			return n // there is nothing behind the point, or shifting went too far
		}
		return shift(round(at), -places)
	})
}

// halfUp rounds a half toward +Infinity, as JavaScript does; unconfirmed for
// negative numbers.
func halfUp(n float64) float64 {
	if floor := math.Floor(n); n-floor < 0.5 {
		return floor
	}
	return math.Ceil(n)
}

func awayFromZero(n float64) float64 {
	if n < 0 {
		return math.Floor(n)
	}
	return math.Ceil(n)
}

func fnRound(_ *evaluator, args []Value) Value     { return rounded(args, halfUp) }
func fnRoundUp(_ *evaluator, args []Value) Value   { return rounded(args, awayFromZero) }
func fnRoundDown(_ *evaluator, args []Value) Value { return rounded(args, math.Trunc) }

func fnCeiling(_ *evaluator, args []Value) Value {
	return binary(args, 1, func(n, step float64) float64 { return math.Ceil(n/step) * step })
}

func fnFloor(_ *evaluator, args []Value) Value {
	return binary(args, 1, func(n, step float64) float64 { return math.Floor(n/step) * step })
}

func fnEven(_ *evaluator, args []Value) Value {
	return unary(args, func(n float64) float64 { return awayFromZero(n/2) * 2 })
}

// fnOdd makes 1 of 0.
func fnOdd(_ *evaluator, args []Value) Value {
	return unary(args, func(n float64) float64 {
		odd := math.Copysign(math.Ceil((math.Abs(n)-1)/2)*2+1, n)
		if n == 0 {
			return 1
		}
		return odd
	})
}

// fnMod has the sign of the divisor, as in spreadsheets. Unconfirmed.
func fnMod(_ *evaluator, args []Value) Value {
	return binary(args, 0, func(n, d float64) float64 {
		m := math.Mod(n, d)
		if m != 0 && (m < 0) != (d < 0) {
			m += d
		}
		return m
	})
}

// numbers returns the numbers among the arguments, those in lists included. Blanks,
// texts and dates are passed over; an error in a list is returned.
func (ev *evaluator) numbers(args []Value) (ns []float64, failed Value) {
	for _, item := range flatten(args...) {
		switch {
		case item.kind == KindError:
			return nil, item
		case item.numeric():
			ns = append(ns, item.num)
		}
	}
	return ns, Value{}
}

func fnSum(ev *evaluator, args []Value) Value {
	ns, failed := ev.numbers(args)
	if failed.kind == KindError {
		return failed
	}
	total := 0.0
	for _, n := range ns {
		total += n
	}
	return Number(total)
}

// fnAverage of nothing is NaN. Unconfirmed.
func fnAverage(ev *evaluator, args []Value) Value {
	ns, failed := ev.numbers(args)
	if failed.kind == KindError {
		return failed
	}
	total := 0.0
	for _, n := range ns {
		total += n
	}
	return Number(total / float64(len(ns)))
}

func fnMax(ev *evaluator, args []Value) Value { return ev.extreme(args, math.Max) }
func fnMin(ev *evaluator, args []Value) Value { return ev.extreme(args, math.Min) }

// extreme is of dates when there are dates and no numbers; of nothing it is 0.
func (ev *evaluator) extreme(args []Value, pick func(a, b float64) float64) Value {
	ns, failed := ev.numbers(args)
	if failed.kind == KindError {
		return failed
	}
	if len(ns) > 0 {
		best := ns[0]
		for _, n := range ns[1:] {
			best = pick(best, n)
		}
		return Number(best)
	}
	var best Value
	for _, item := range flatten(args...) {
		if item.kind != KindDate {
			continue
		}
		if best.kind == KindBlank || item.num != best.num && pick(item.num, best.num) == item.num {
			best = item
		}
	}
	if best.kind == KindBlank {
		return Number(0)
	}
	return best
}

func fnCount(ev *evaluator, args []Value) Value {
	ns, failed := ev.numbers(args)
	if failed.kind == KindError {
		return failed
	}
	return Number(float64(len(ns)))
}

func fnCountA(_ *evaluator, args []Value) Value {
	n := 0
	for _, item := range flatten(args...) {
		if !item.empty() {
			n++
		}
	}
	return Number(float64(n))
}

func fnCountAll(_ *evaluator, args []Value) Value {
	return Number(float64(len(flatten(args...))))
}

// fnValue picks digits, sign and point out of a text and reads the number that they
// begin with. Unconfirmed: without a digit it is an error.
func fnValue(_ *evaluator, args []Value) Value {
	v := args[0].scalar()
	if v.empty() {
		return Blank()
	}
	if v.kind != KindText {
		return v.toNumber()
	}
	picked := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return -1
	}, v.text)
	end, point, digits := 0, false, false
	for ; end < len(picked); end++ {
		c := picked[end]
		if c == '-' && end > 0 || c == '.' && point {
			break
		}
		point, digits = point || c == '.', digits || isDigit(c)
	}
	n, err := strconv.ParseFloat(picked[:end], 64)
	if err != nil || !digits {
		return Fail("no number in the text")
	}
	return Number(n)
}

// special is a number that JSON lacks, by the API's name.
func special(name string) Value {
	switch name {
	case "Infinity":
		return Number(math.Inf(1))
	case "-Infinity":
		return Number(math.Inf(-1))
	}
	return Number(math.NaN())
}
