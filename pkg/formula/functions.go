package formula

// function is what a name can call.
type function struct {
	min, max int  // arguments; max -1: any number
	constant bool // may be written without parentheses
	clock    bool // depends on the time
	record   bool // depends on the record, not on its cells

	// eager is given the arguments' values, none of which is an error: the first
	// error among them is the result. lazy evaluates its arguments itself. One is set.
	eager func(ev *evaluator, args []Value) Value
	lazy  func(ev *evaluator, n *CallNode) Value

	result func(f *Formula, n *CallNode) Type
}

func always(t Type) func(*Formula, *CallNode) Type {
	return func(*Formula, *CallNode) Type { return t }
}

var (
	noType     = always(Type{})
	numberType = always(Type{Kind: KindNumber})
	textType   = always(Type{Kind: KindText})
	boolType   = always(Type{Kind: KindBool})
	momentType = always(Type{Kind: KindDate})
	dayType    = always(Type{Kind: KindDate, Day: true})
)

// functions is the language's table of functions, by upper-case name.
var functions = map[string]*function{
	"IF":      {min: 2, max: 3, lazy: fnIf, result: ifType},
	"SWITCH":  {min: 2, max: -1, lazy: fnSwitch, result: switchType},
	"AND":     {min: 1, max: -1, lazy: fnAnd, result: boolType},
	"OR":      {min: 1, max: -1, lazy: fnOr, result: boolType},
	"XOR":     {min: 1, max: -1, lazy: fnXor, result: boolType},
	"NOT":     {min: 1, max: 1, eager: fnNot, result: boolType},
	"TRUE":    {constant: true, eager: fnTrue, result: boolType},
	"FALSE":   {constant: true, eager: fnFalse, result: boolType},
	"BLANK":   {constant: true, eager: fnBlank, result: noType},
	"ERROR":   {max: 1, eager: fnError, result: always(Type{Kind: KindError})},
	"ISERROR": {min: 1, max: 1, lazy: fnIsError, result: boolType},

	"ABS":       {min: 1, max: 1, eager: fnAbs, result: numberType},
	"SQRT":      {min: 1, max: 1, eager: fnSqrt, result: numberType},
	"EXP":       {min: 1, max: 1, eager: fnExp, result: numberType},
	"POWER":     {min: 2, max: 2, eager: fnPower, result: numberType},
	"LOG":       {min: 1, max: 2, eager: fnLog, result: numberType},
	"INT":       {min: 1, max: 1, eager: fnInt, result: numberType},
	"ROUND":     {min: 1, max: 2, eager: fnRound, result: numberType},
	"ROUNDUP":   {min: 1, max: 2, eager: fnRoundUp, result: numberType},
	"ROUNDDOWN": {min: 1, max: 2, eager: fnRoundDown, result: numberType},
	"CEILING":   {min: 1, max: 2, eager: fnCeiling, result: numberType},
	"FLOOR":     {min: 1, max: 2, eager: fnFloor, result: numberType},
	"EVEN":      {min: 1, max: 1, eager: fnEven, result: numberType},
	"ODD":       {min: 1, max: 1, eager: fnOdd, result: numberType},
	"MOD":       {min: 2, max: 2, eager: fnMod, result: numberType},
	"SUM":       {min: 1, max: -1, eager: fnSum, result: numberType},
	"AVERAGE":   {min: 1, max: -1, eager: fnAverage, result: numberType},
	"MAX":       {min: 1, max: -1, eager: fnMax, result: extremeType},
	"MIN":       {min: 1, max: -1, eager: fnMin, result: extremeType},
	"COUNT":     {min: 1, max: -1, eager: fnCount, result: numberType},
	"COUNTA":    {min: 1, max: -1, eager: fnCountA, result: numberType},
	"COUNTALL":  {min: 1, max: -1, eager: fnCountAll, result: numberType},
	"VALUE":     {min: 1, max: 1, eager: fnValue, result: numberType},

	"CONCATENATE":          {min: 1, max: -1, lazy: fnConcatenate, result: textType},
	"LEFT":                 {min: 2, max: 2, eager: fnLeft, result: textType},
	"RIGHT":                {min: 2, max: 2, eager: fnRight, result: textType},
	"MID":                  {min: 3, max: 3, eager: fnMid, result: textType},
	"LEN":                  {min: 1, max: 1, eager: fnLen, result: numberType},
	"LOWER":                {min: 1, max: 1, eager: fnLower, result: textType},
	"UPPER":                {min: 1, max: 1, eager: fnUpper, result: textType},
	"TRIM":                 {min: 1, max: 1, eager: fnTrim, result: textType},
	"FIND":                 {min: 2, max: 3, eager: fnFind, result: numberType},
	"SEARCH":               {min: 2, max: 3, eager: fnSearch, result: numberType},
	"SUBSTITUTE":           {min: 3, max: 4, eager: fnSubstitute, result: textType},
	"REPLACE":              {min: 4, max: 4, eager: fnReplace, result: textType},
	"REPT":                 {min: 2, max: 2, eager: fnRept, result: textType},
	"T":                    {min: 1, max: 1, eager: fnT, result: textType},
	"ENCODE_URL_COMPONENT": {min: 1, max: 1, eager: fnEncodeURL, result: textType},

	"NOW":                {constant: true, clock: true, eager: fnNow, result: momentType},
	"TODAY":              {constant: true, clock: true, eager: fnToday, result: dayType},
	"CREATED_TIME":       {record: true, eager: fnCreatedTime, result: momentType},
	"LAST_MODIFIED_TIME": {max: -1, record: true, lazy: fnLastModifiedTime, result: momentType},
	"RECORD_ID":          {record: true, eager: fnRecordID, result: textType},
	"DATEADD":            {min: 3, max: 3, eager: fnDateAdd, result: dateAddType},
	"DATETIME_DIFF":      {min: 2, max: 3, eager: fnDatetimeDiff, result: numberType},
	// DATEDIF is a legacy name, unconfirmed: the same with the dates the other way round.
	"DATEDIF":         {min: 3, max: 3, eager: fnDateDif, result: numberType},
	"DATETIME_FORMAT": {min: 1, max: 2, eager: fnDatetimeFormat, result: textType},
	"DATETIME_PARSE":  {min: 1, max: 3, clock: true, eager: fnDatetimeParse, result: momentType},
	"DATESTR":         {min: 1, max: 1, eager: fnDateStr, result: textType},
	"TIMESTR":         {min: 1, max: 1, eager: fnTimeStr, result: textType},
	"YEAR":            {min: 1, max: 1, eager: fnYear, result: numberType},
	"MONTH":           {min: 1, max: 1, eager: fnMonth, result: numberType},
	"DAY":             {min: 1, max: 1, eager: fnDay, result: numberType},
	"HOUR":            {min: 1, max: 1, eager: fnHour, result: numberType},
	"MINUTE":          {min: 1, max: 1, eager: fnMinute, result: numberType},
	"SECOND":          {min: 1, max: 1, eager: fnSecond, result: numberType},
	"WEEKDAY":         {min: 1, max: 2, eager: fnWeekday, result: numberType},
	"WEEKNUM":         {min: 1, max: 2, eager: fnWeekNum, result: numberType},
	"IS_SAME":         {min: 2, max: 3, eager: fnIsSame, result: boolType},
	"IS_BEFORE":       {min: 2, max: 3, eager: fnIsBefore, result: boolType},
	"IS_AFTER":        {min: 2, max: 3, eager: fnIsAfter, result: boolType},
	"WORKDAY":         {min: 2, max: 3, eager: fnWorkday, result: dayType},
	"WORKDAY_DIFF":    {min: 2, max: 3, eager: fnWorkdayDiff, result: numberType},
	"TONOW":           {min: 1, max: 1, clock: true, eager: fnFromNow, result: textType},
	"FROMNOW":         {min: 1, max: 1, clock: true, eager: fnFromNow, result: textType},
	"SET_TIMEZONE":    {min: 2, max: 2, eager: fnSetTimezone, result: firstType},
	"SET_LOCALE":      {min: 2, max: 2, eager: fnSetLocale, result: firstType},

	"ARRAYJOIN":    {min: 1, max: 2, eager: fnArrayJoin, result: textType},
	"ARRAYUNIQUE":  {min: 1, max: -1, eager: fnArrayUnique, result: listType},
	"ARRAYCOMPACT": {min: 1, max: -1, eager: fnArrayCompact, result: listType},
	"ARRAYFLATTEN": {min: 1, max: -1, eager: fnArrayFlatten, result: listType},
	"ARRAYSLICE":   {min: 2, max: 3, eager: fnArraySlice, result: firstListType},

	"REGEX_MATCH":   {min: 2, max: 2, eager: fnRegexMatch, result: boolType},
	"REGEX_EXTRACT": {min: 2, max: 2, eager: fnRegexExtract, result: textType},
	"REGEX_REPLACE": {min: 3, max: 3, eager: fnRegexReplace, result: textType},
}

func firstType(f *Formula, n *CallNode) Type { return f.typeOf(n.Args[0]) }

func ifType(f *Formula, n *CallNode) Type {
	t := f.typeOf(n.Args[1])
	if len(n.Args) == 3 {
		t = join(t, f.typeOf(n.Args[2]))
	}
	return t
}

func switchType(f *Formula, n *CallNode) Type {
	var t Type
	for i := 2; i < len(n.Args); i += 2 {
		t = join(t, f.typeOf(n.Args[i]))
	}
	if len(n.Args)%2 == 0 {
		t = join(t, f.typeOf(n.Args[len(n.Args)-1]))
	}
	return t
}

// extremeType is a date if all arguments are, and a number otherwise.
func extremeType(f *Formula, n *CallNode) Type {
	var t Type
	for _, arg := range n.Args {
		t = join(t, f.typeOf(arg).element())
	}
	if t.Kind == KindDate {
		return t
	}
	return Type{Kind: KindNumber}
}

func listType(f *Formula, n *CallNode) Type {
	var t Type
	for _, arg := range n.Args {
		t = join(t, f.typeOf(arg).element())
	}
	return Type{Kind: KindList, Elem: t.Kind, Day: t.Day}
}

func firstListType(f *Formula, n *CallNode) Type {
	t := f.typeOf(n.Args[0]).element()
	return Type{Kind: KindList, Elem: t.Kind, Day: t.Day}
}

// dateAddType is a day when whole days are added to a day.
func dateAddType(f *Formula, n *CallNode) Type {
	t := f.typeOf(n.Args[0])
	if name, ok := n.Args[2].(*TextNode); ok && t.Kind == KindDate && t.Day {
		return Type{Kind: KindDate, Day: unitNamed(name.Value) >= unitDay}
	}
	return Type{Kind: KindDate}
}
