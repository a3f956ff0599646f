package formula_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

func TestEval_TextsAndEscapes(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`'it\'s'`, "it's"}, {`"a\"b"`, `a"b`}, {`"a\\b"`, `a\b`}, {`"a\nb\tc\rd"`, "a\nb\tc\rd"}, {`"\d+"`, `\d+`}, {`"\é"`, `\é`},
		{"'a\nb'", "a\nb"}, {`"a" & 'b'`, "ab"}, {`{a\}b}`, "brace"}, {`.5+5.`, 5.5}, {`1e3`, 1000}, {`2E-2`, 0.02},
		{" \u00a01\n+\t1 ", 2}, {`if(true,"y")`, "y"}, {`If (TRUE (),"y")`, "y"}, {`qty`, 3}, {`{QTY}`, 3}, {`TRUE`, 1}, {`False`, 0}, {`blank`, nil},
	})
}

func TestEval_OperatorsAndPrecedence(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`-2*-3`, 6}, {`--2`, 2}, {`+-2`, -2}, {`2-3-4`, -5}, {`8/4/2`, 1}, {`1+2&3`, "33"}, {`1&2+3`, "15"}, {`"a"&"b"="ab"`, 1},
		{`1<2<3`, 1}, {`3>2>1`, 0}, {`1=1=1`, 1}, {`-1/0`, map[string]any{"specialValue": "-Infinity"}}, {`1/-Zero`, infinity},
		{`0/0=0/0`, 0}, {`0/0!=0/0`, 1}, {`0/0<1`, 0}, {`0.1+0.2`, 0.30000000000000004},
		{`"a"+1`, failed}, {`"1"+1`, failed}, {`""+1`, 1}, {`Empty+1`, 1}, {`-Empty`, 0}, {`-"x"`, failed}, {`Due+1`, failed},
		{`Done+1`, 2}, {`Look+1`, failed}, {`ARRAYSLICE(Look,1,1)+1`, 2},
	})
}

func TestEval_BlankEqualsZeroAndEmptyText(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`Empty=0`, 1}, {`Zero=BLANK()`, 1}, {`Empty&""=""`, 1}, {`Zero&""=""`, 0}, {`Note=""`, 1}, {`Note!="a"`, 1}, {`BLANK()=BLANK()`, 1},
		{`Qty=""`, 0}, {`Zero=""`, 1}, {`{No Date}=BLANK()`, 1}, {`{No Date}=""`, 1}, {`Due=BLANK()`, 0}, {`{No Look}=BLANK()`, 1}, {`Done=1`, 1},
		{`FALSE()=BLANK()`, 1}, {`"a"=0`, 0}, {`"0"=0`, 0}, {`1="1"`, 0}, {`BLANK()<1`, 1}, {`BLANK()<"a"`, 1}, {`BLANK()<BLANK()`, 0},
	})
}

func TestEval_Comparisons(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`"a"<"b"`, 1}, {`"B"<"a"`, 1}, {`"a"<"ab"`, 1}, {`"a"<1`, failed}, {`Due<1`, failed}, {`"a"<="a"`, 1}, {`2>=2`, 1}, {`"😀"<"￿"`, 1}, {`"é"<"ê"`, 1},
		{`At=DATETIME_PARSE("2024-05-01T10:30:00.000Z")`, 1}, {`At=DATETIME_PARSE("2024-05-01T10:30:00.001Z")`, 0}, {`Due<At`, 1},
		{`Due="2024-05-01"`, 1}, {`At="2024-05-01T10:30:00.000Z"`, 1}, {`Due<"2024-05-02"`, 1}, {`{No Date}<At`, 0}, {`{No Date}>At`, 0}, {`Due=5`, 0},
		{`Tags="red, blue"`, 1}, {`Look="1, , 2.5"`, 1},
	})
}

func TestEval_Logic(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`AND("0",Due,1)`, 1}, {`AND(1,ERROR())`, failed}, {`AND(0,ERROR())`, failed}, {`OR(1,ERROR())`, failed}, {`XOR(1,ERROR())`, failed}, {`NOT(ERROR())`, failed},
		{`AND(Look)`, 0}, {`OR(Look)`, 1}, {`AND({No Look})`, 0}, {`IF(ERROR(),1,2)`, failed}, {`IF(1,2,ERROR())`, 2}, {`IF(0/0,1,2)`, 2}, {`IF(1/0,1,2)`, 1},
		{`SWITCH(Qty,9,ERROR())`, nil}, {`SWITCH("x","x",1)`, 1}, {`SWITCH(1,ERROR(),2,3)`, failed}, {`SWITCH(BLANK(),0,"z")`, "z"}, {`SWITCH(1,2)`, 2},
		{`ISERROR("a"+1)`, 1}, {`ISERROR(1)`, 0}, {`ISERROR(SQRT(-1))`, 1}, {`ERROR("why")`, failed},
	})
	if got := eval(t, `ERROR("why")`).Reason(); got != "why" {
		t.Errorf("reason %q", got)
	}
}

func TestEval_Numbers(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`ABS(-2)`, 2}, {`SQRT(9)`, 3}, {`SQRT(-1)`, nan}, {`POWER(2,10)`, 1024}, {`EXP(0)`, 1}, {`LOG(100)`, 2}, {`LOG(9,3)`, 2}, {`INT(1.9)`, 1},
		{`ROUND(2.5)`, 3}, {`ROUND(-2.5)`, -2}, {`ROUND(1.005,2)`, 1.01}, {`ROUND(1234,-2)`, 1200}, {`ROUND(1e300,2)`, 1e300}, {`ROUND(5,-400)`, 0}, {`ROUND(1/0)`, infinity},
		{`ROUNDUP(-1.1)`, -2}, {`ROUNDUP(1.21,1)`, 1.3}, {`ROUNDDOWN(1.29,1)`, 1.2}, {`CEILING(-1.5)`, -1}, {`FLOOR(-1.5)`, -2}, {`CEILING(1,0)`, nan},
		{`EVEN(2)`, 2}, {`EVEN(1.1)`, 2}, {`EVEN(0)`, 0}, {`ODD(3)`, 3}, {`ODD(0)`, 1}, {`ODD(-2)`, -3}, {`ODD(1.5)`, 3},
		{`MOD(-7,3)`, 2}, {`MOD(7,-3)`, -2}, {`MOD(5.5,2)`, 1.5}, {`MOD(1,0)`, nan},
		{`SUM(Look)`, 3.5}, {`SUM("a",1)`, 1}, {`SUM("a")`, 0}, {`AVERAGE(1,2,Empty)`, 1.5}, {`AVERAGE(Empty)`, nan}, {`MAX(Look,2)`, 2.5}, {`MIN(Look)`, 1}, {`MAX("a")`, 0},
		{`MAX(Due,At)`, "2024-05-01T10:30:00.000Z"}, {`MIN(Due,At)`, "2024-05-01"}, {`COUNT(Look,"a",Done)`, 3}, {`COUNTA(Look)`, 2}, {`COUNTALL(Look,Empty)`, 4}, {`SUM(1,ERROR())`, failed},
		{`VALUE("abc")`, failed}, {`VALUE("")`, nil}, {`VALUE(5)`, 5}, {`VALUE("-3.5%")`, -3.5}, {`VALUE("1-2")`, 1}, {`VALUE("1.2.3")`, 1.2}, {`VALUE("-")`, failed},
		{`ROUND("a")`, failed}, {`POWER(2,"x")`, failed}, {`1e21&""`, "1e+21"}, {`1/3&""`, "0.3333333333333333"}, {`2.50&""`, "2.5"}, {`0.0000001&""`, "1e-7"}, {`123456789012345680000&""`, "123456789012345680000"},
		{`(0/0)&""`, "NaN"}, {`(1=1)&""`, "1"},
	})
}

func TestEval_Text(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`LEFT("abc",9)`, "abc"}, {`LEFT("abc",-1)`, nil}, {`RIGHT("abc",9)`, "abc"}, {`RIGHT("abc",0)`, nil}, {`MID("abc",0,2)`, "ab"}, {`MID("abc",9,2)`, nil}, {`MID("abc",2,1e99)`, "bc"},
		{`LEN(Emoji)`, 4}, {`LEFT(Emoji,3)`, "a😀"}, {`RIGHT(Emoji,1)`, "b"}, {`LEFT(Emoji,2)`, "a\ufffd"}, {`FIND("b",Emoji)`, 4}, {`LEN(12.5)`, 4}, {`LEN(Empty)`, 0},
		{`LOWER("ÄB")`, "äb"}, {`UPPER("äb")`, "ÄB"}, {`FIND("a","banana",3)`, 4}, {`FIND("a","banana",2)`, 2}, {`FIND("a","banana",99)`, 0}, {`FIND("","abc")`, 1}, {`FIND("A","abc")`, 0},
		{`FIND(" ","a b c",FIND(" ","a b c")+1)`, 4}, {`SEARCH("b","abc")`, 2}, {`SEARCH("B","abc")`, nil}, {`SUBSTITUTE("aaa","a","b",9)`, "aaa"}, {`SUBSTITUTE("aaa","","b")`, "aaa"},
		{`SUBSTITUTE("aaaa","aa","b")`, "bb"}, {`SUBSTITUTE("aaaa","aa","b",2)`, "aab"}, {`REPLACE("abc",9,1,"X")`, "abcX"}, {`REPLACE("abc",1,0,"X")`, "Xabc"}, {`REPT("a",0)`, nil}, {`REPT("a",-1)`, nil},
		{`T("x")`, "x"}, {`T(Due)`, nil}, {`T(Tags)`, "red, blue"}, {`ENCODE_URL_COMPONENT("ä/'~")`, "%C3%A4%2F%27~"}, {`CONCATENATE("a",1,Empty,Look)`, "a11, , 2.5"}, {`CONCATENATE("a",ERROR())`, failed},
		{`Due&""`, "2024-05-01"}, {`At&""`, "2024-05-01T10:30:00.000Z"},
	})
}

func TestEval_Lists(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`ARRAYJOIN(Look,"|")`, "1||2.5"}, {`ARRAYJOIN("a")`, "a"}, {`ARRAYUNIQUE(ARRAYFLATTEN(1,2,1,"1",Look))`, []any{1.0, 2.0, "1", nil, 2.5}}, {`ARRAYCOMPACT(Look)`, []any{1.0, 2.5}},
		{`ARRAYCOMPACT(ARRAYFLATTEN("",FALSE()," ",BLANK()))`, []any{0.0, " "}}, {`ARRAYSLICE(ARRAYFLATTEN(1,2,3,4),2,3)`, []any{2.0, 3.0}}, {`ARRAYSLICE(ARRAYFLATTEN(1,2,3,4),-2)`, []any{3.0, 4.0}},
		{`ARRAYSLICE(ARRAYFLATTEN(1,2,3,4),2,-2)`, []any{2.0, 3.0}}, {`ARRAYSLICE(Look,9)`, nil}, {`ARRAYSLICE(Look,0,1)`, []any{1.0}},
	})
}

func TestEval_Regex(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`REGEX_MATCH("abc","^b")`, 0}, {`REGEX_EXTRACT("abc","\d")`, failed}, {`REGEX_EXTRACT("a1","\d")`, "1"}, {`REGEX_MATCH("a","(")`, failed}, {`REGEX_MATCH("a","(?=a)")`, failed},
		{`REGEX_REPLACE("john smith","(\w+) (\w+)","$2 $1")`, "smith john"}, {`REGEX_REPLACE("ab","(a)|(b)","<$1$2$3>")`, "<a><b>"}, {`REGEX_REPLACE("a","a","$1x$")`, "x$"}, {`REGEX_REPLACE("abc","","-")`, "-a-b-c-"},
		{`REGEX_REPLACE("aa","a","$0$0")`, "aaaa"}, {`REGEX_MATCH(Tags,"blue$")`, 1}, {`REGEX_MATCH(Empty,"^$")`, 1}, {`REGEX_MATCH("ab","a"&"b")`, 1},
	})
}

func TestEval_Dates(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`NOW()`, "2024-05-02T08:00:00.000Z"}, {`TODAY()`, "2024-05-02"}, {`CREATED_TIME()`, "2024-04-01T07:00:00.000Z"}, {`LAST_MODIFIED_TIME()`, "2024-04-02T07:00:00.000Z"},
		{`LAST_MODIFIED_TIME(Note)`, nil}, {`LAST_MODIFIED_TIME({Qty},{Note})`, "2024-04-02T07:00:00.000Z"}, {`LAST_MODIFIED_TIME(1)`, failed},
		{`DATEADD("2024-01-31",1,"month")`, "2024-02-29"}, {`DATEADD("2024-02-29",1,"y")`, "2025-02-28"}, {`DATEADD("2024-03-31",-1,"M")`, "2024-02-29"}, {`DATEADD(Due,90,"m")`, "2024-05-01T01:30:00.000Z"},
		{`DATEADD(At,1.5,"hours")`, "2024-05-01T12:00:00.000Z"}, {`DATEADD(At,1,"quarters")`, "2024-08-01T10:30:00.000Z"}, {`DATEADD(At,2,"weeks")`, "2024-05-15T10:30:00.000Z"}, {`DATEADD(At,1,"ms")`, "2024-05-01T10:30:00.001Z"},
		{`DATEADD(At,1e9,"years")`, failed}, {`DATEADD(At,1e300,"s")`, failed}, {`DATEADD({No Date},1,"days")`, failed}, {`DATEADD(At,0/0,"days")`, failed},
		{`DATETIME_DIFF("2024-05-01","2024-03-31","months")`, 1}, {`DATETIME_DIFF("2024-05-01","2024-03-02","months")`, 1}, {`DATETIME_DIFF("2024-03-02","2024-05-01","M")`, -1}, {`DATETIME_DIFF("2026-05-01",Due,"years")`, 2}, {`DATETIME_DIFF("2024-12-01",Due,"Q")`, 2},
		{`DATETIME_DIFF(At,Due)`, 37800}, {`DATETIME_DIFF(At,Due,"nonsense")`, 37800000}, {`DATETIME_DIFF(Due,At,"hours")`, -10}, {`DATETIME_DIFF("2024-05-20",Due,"weeks")`, 2}, {`DATEDIF(Due,"2024-05-03","d")`, 2},
		{`DAY(At)`, 1}, {`HOUR(At)`, 10}, {`MINUTE(At)`, 30}, {`SECOND(At)`, 0}, {`WEEKDAY(Due,"Monday")`, 2}, {`WEEKDAY("2024-05-05")`, 0}, {`WEEKNUM("2024-01-01")`, 1}, {`WEEKNUM("2024-01-07")`, 2}, {`WEEKNUM("2024-01-07","Monday")`, 1},
		{`WEEKNUM("2024-12-31")`, 1}, {`WEEKNUM("2023-01-01")`, 1}, {`WEEKNUM("2022-12-31")`, 53}, {`YEAR({No Date})`, failed}, {`YEAR("x")`, failed}, {`YEAR(5)`, failed},
		{`IS_SAME(At,"2024-05-31","month")`, 1}, {`IS_SAME(At,"2024-05-05","week")`, 0}, {`IS_SAME(At,Due)`, 0}, {`IS_BEFORE({No Date},At)`, 0}, {`IS_AFTER(At,{No Date})`, 0}, {`IS_BEFORE(Due,At,"day")`, 0}, {`IS_SAME(At,"x")`, failed},
		{`TIMESTR(Due)`, "00:00:00"}, {`FROMNOW(At)`, "a day"}, {`TONOW(DATEADD(NOW(),-25,"days"))`, "25 days"}, {`FROMNOW(NOW())`, "a few seconds"}, {`FROMNOW(DATEADD(NOW(),3,"hours"))`, "3 hours"}, {`FROMNOW(DATEADD(NOW(),-400,"days"))`, "a year"}, {`FROMNOW(DATEADD(NOW(),-60,"days"))`, "2 months"},
	})
}

func TestEval_WorkingDays(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`WORKDAY(Due,0)`, "2024-05-01"}, {`WORKDAY(Due,10)`, "2024-05-15"}, {`WORKDAY(Due,-1)`, "2024-04-30"}, {`WORKDAY(Due,-3)`, "2024-04-26"}, {`WORKDAY("2024-05-04",5)`, "2024-05-10"}, {`WORKDAY("2024-05-04",1)`, "2024-05-06"}, {`WORKDAY("2024-05-04",-1)`, "2024-05-03"},
		{`WORKDAY("2024-05-04",-5)`, "2024-04-29"}, {`WORKDAY(Due,1,"2024-05-02, 2024-05-03")`, "2024-05-06"}, {`WORKDAY(Due,1,"2024-05-02,2024-05-03,2024-05-06,2024-05-04,")`, "2024-05-07"}, {`WORKDAY(Due,-1,"2024-04-30")`, "2024-04-29"}, {`WORKDAY(Due,1,"x")`, failed}, {`WORKDAY(Due,1e9)`, failed},
		{`WORKDAY_DIFF(Due,"2024-05-03")`, 3}, {`WORKDAY_DIFF(Due,"2024-05-06")`, 4}, {`WORKDAY_DIFF("2024-05-06",Due)`, -4}, {`WORKDAY_DIFF("2024-05-04","2024-05-05")`, 0}, {`WORKDAY_DIFF(Due,"2024-05-10","2024-05-09")`, 7}, {`WORKDAY_DIFF("1969-12-20","1970-01-10")`, 15},
	})
}

// TestWorkday_IsWhatCountingDaysGives compares with the slow way.
func TestWorkday_IsWhatCountingDaysGives(t *testing.T) {
	t.Parallel()
	off := map[string]bool{"2024-05-02": true, "2024-05-03": true, "2024-05-20": true, "2024-04-19": true, "2024-05-04": true}
	f, err := formula.Compile(`WORKDAY(Due,Qty,"2024-05-20,2024-05-02,2024-05-03,2024-04-19,2024-05-04")`, schema, formula.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for start := -10; start < 10; start++ {
		for n := -30; n <= 30; n++ {
			from := time.Date(2024, 5, 5+start, 0, 0, 0, 0, time.UTC)
			want := from
			for left := n; left != 0; {
				step := 1
				if n < 0 {
					step = -1
				}
				want = want.AddDate(0, 0, step)
				if want.Weekday() != time.Saturday && want.Weekday() != time.Sunday && !off[want.Format("2006-01-02")] {
					left -= step
				}
			}
			got := f.Eval(&formula.Env{Cell: func(id string) formula.Value {
				if id == "fldDUE" {
					return formula.Day(from)
				}
				return formula.Number(float64(n))
			}})
			if got.String() != want.Format("2006-01-02") {
				t.Fatalf("%s and %d working days: got %s, want %s", from.Format("2006-01-02"), n, got, want.Format("2006-01-02"))
			}
		}
	}
}

func TestDatetimeFormat_MomentTokens(t *testing.T) {
	t.Parallel()
	const at = `DATETIME_PARSE("2024-03-05T15:07:09.045Z")` // a Tuesday
	for format, want := range map[string]string{
		"YYYY YY Q Qo": "2024 24 1 1st", "M MM MMM MMMM Mo": "3 03 Mar March 3rd", "D DD Do": "5 05 5th", "DDD DDDD": "65 065", "d dd ddd dddd": "2 Tu Tue Tuesday", "E e": "2 2",
		"w ww W WW": "10 10 10 10", "GGGG gg": "2024 24", "H HH h hh k": "15 15 3 03 15", "m mm s ss": "7 07 9 09", "S SS SSS": "0 04 045", "A a": "PM pm", "Z ZZ z": "+00:00 +0000 UTC", "X x": "1709651229 1709651229045",
		"L": "03/05/2024", "LL": "March 5, 2024", "LLL": "March 5, 2024 3:07 PM", "LLLL": "Tuesday, March 5, 2024 3:07 PM", "l": "3/5/2024", "ll": "Mar 5, 2024", "lll": "Mar 5, 2024 3:07 PM", "llll": "Tue, Mar 5, 2024 3:07 PM", "LT LTS": "3:07 PM 3:07:09 PM",
		"[week] w": "week 10", "YYYY-MM-DD[T]HH:mm": "2024-03-05T15:07", `\D`: "D", "": "2024-03-05T15:07:09.045Z", "—ü": "—ü",
	} {
		v := eval(t, `DATETIME_FORMAT(`+at+`,'`+strings.ReplaceAll(format, `\`, `\\`)+`')`)
		if diff := cmp.Diff(want, v.String()); diff != "" {
			t.Errorf("%q\n%s", format, diff)
		}
	}
	check(t, []example{
		{`DATETIME_FORMAT(SET_LOCALE(` + at + `,"de"),"dddd, D. MMMM YYYY, LLL")`, "Dienstag, 5. März 2024, 5. März 2024 15:07"},
		{`DATETIME_FORMAT(SET_LOCALE(` + at + `,"fr-CA"),"dddd D MMM")`, "mardi 5 mars"}, {`DATETIME_FORMAT(SET_LOCALE(` + at + `,"es"),"LL")`, "5 de marzo de 2024"}, {`DATETIME_FORMAT(SET_LOCALE(` + at + `,"en-gb"),"L LT")`, "05/03/2024 15:07"},
		{`DATETIME_FORMAT(SET_LOCALE(SET_TIMEZONE(` + at + `,"America/New_York"),"xx"),"HH:mm Z z MMM")`, "10:07 -05:00 EST Mar"}, {`DATETIME_FORMAT(SET_TIMEZONE(` + at + `,"Nowhere/Land"))`, failed}, {`DATETIME_FORMAT(SET_TIMEZONE(` + at + `,"utc"),"HH")`, "15"},
		{`HOUR(SET_TIMEZONE(` + at + `,"Asia/Tokyo"))`, 15}, {`DATETIME_FORMAT({No Date},"L")`, failed}, {`DATETIME_FORMAT("2024-12-30","GGGG-[W]WW-E gggg w")`, "2025-W01-1 2025 1"},
		{`DATETIME_FORMAT("0099-01-01","YYYY YY")`, "0099 99"}, {`DATETIME_FORMAT("2024-01-01T00:05:00","h k hh")`, "12 24 12"},
	})
}

func TestDatetimeParse_IsoLooseAndByFormat(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`DATETIME_PARSE("2024-05-01")`, "2024-05-01T00:00:00.000Z"}, {`DATETIME_PARSE("2024-05-01T12:00+02:00")`, "2024-05-01T10:00:00.000Z"}, {`DATETIME_PARSE("2024-05-01 12:00:30")`, "2024-05-01T12:00:30.000Z"},
		{`DATETIME_PARSE("5/1/2024 3:04 pm")`, "2024-05-01T15:04:00.000Z"}, {`DATETIME_PARSE("May 1, 2024")`, "2024-05-01T00:00:00.000Z"}, {`DATETIME_PARSE("nonsense")`, failed}, {`DATETIME_PARSE("")`, failed}, {`DATETIME_PARSE("2024-02-31")`, failed}, {`DATETIME_PARSE(Due)`, "2024-05-01T00:00:00.000Z"},
		{`DATETIME_PARSE("4 Mar 2017 23:00","D MMM YYYY HH:mm")`, "2017-03-04T23:00:00.000Z"}, {`DATETIME_PARSE("01.05.24","DD.MM.YY")`, "2024-05-01T00:00:00.000Z"}, {`DATETIME_PARSE("20240501","YYYYMMDD")`, "2024-05-01T00:00:00.000Z"},
		{`DATETIME_PARSE("1.5.1999 at 7pm","D.M.YYYY [at] ha")`, "1999-05-01T19:00:00.000Z"}, {`DATETIME_PARSE("12 am","h a")`, "2024-05-02T00:00:00.000Z"}, {`DATETIME_PARSE("09:15","HH:mm")`, "2024-05-02T09:15:00.000Z"}, {`DATETIME_PARSE("2020","YYYY")`, "2020-01-01T00:00:00.000Z"}, {`DATETIME_PARSE("07","MM")`, "2024-07-01T00:00:00.000Z"},
		{`DATETIME_PARSE("May 1st 2024","MMMM Do YYYY")`, "2024-05-01T00:00:00.000Z"}, {`DATETIME_PARSE("5. März 2024","D. MMMM YYYY","de")`, "2024-03-05T00:00:00.000Z"}, {`DATETIME_PARSE("2024 060","YYYY DDDD")`, "2024-02-29T00:00:00.000Z"}, {`DATETIME_PARSE("2024-3","YYYY-Q")`, "2024-07-01T00:00:00.000Z"},
		{`DATETIME_PARSE("1709651229045","x")`, "2024-03-05T15:07:09.045Z"}, {`DATETIME_PARSE("1709651229.045","X")`, "2024-03-05T15:07:09.045Z"}, {`DATETIME_PARSE("-1","X")`, "1969-12-31T23:59:59.000Z"}, {`DATETIME_PARSE("2024-05-01 10:00 -05:30","YYYY-MM-DD HH:mm Z")`, "2024-05-01T15:30:00.000Z"}, {`DATETIME_PARSE("10:00:01.25","HH:mm:ss.SS")`, "2024-05-02T10:00:01.250Z"},
		{`DATETIME_PARSE("31.02.2024","DD.MM.YYYY")`, failed}, {`DATETIME_PARSE("01.13.2024","DD.MM.YYYY")`, failed}, {`DATETIME_PARSE("x","DD.MM.YYYY")`, failed}, {`DATETIME_PARSE("25:00","HH:mm")`, failed}, {`DATETIME_PARSE("13 pm","h a")`, failed}, {`DATETIME_PARSE("03/05/2024","L")`, "2024-03-05T00:00:00.000Z"}, {`DATETIME_PARSE("Tue, Mar 5, 2024 3:07 PM","llll")`, "2024-03-05T15:07:00.000Z"},
	})
}

func TestEval_FieldZoneShowsInPartsAndFormat(t *testing.T) {
	t.Parallel()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	at := formula.Moment(time.Date(2024, 5, 1, 20, 0, 0, 0, time.UTC)).In(tokyo)
	for src, want := range map[string]any{
		`DAY(At)`: 2.0, `HOUR(At)`: 5.0, `DATETIME_FORMAT(At,"D HH")`: "2 05", `DATETIME_FORMAT(SET_TIMEZONE(At,"UTC"),"D HH")`: "1 20", `At`: "2024-05-01T20:00:00.000Z", `DATESTR(At)`: "2024-05-02",
		`IS_SAME(At,"2024-05-02","day")`: 1.0, `DATEADD(At,1,"days")`: "2024-05-02T20:00:00.000Z",
	} {
		f, err := formula.Compile(src, schema, formula.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, f.Eval(&formula.Env{Cell: func(string) formula.Value { return at }}).JSON()); diff != "" {
			t.Errorf("%s\n%s", src, diff)
		}
	}
}

func TestEval_RollupKnowsValues(t *testing.T) {
	t.Parallel()
	s := formula.Schema{Values: &typeNumber}
	for src, want := range map[string]any{
		`SUM(values)`: 6.0, `MAX({values})`: nil, `AND(values)`: 1.0, `ARRAYJOIN(VALUES,"+")`: "1+2+3", `COUNTALL(values)`: 3.0, `AVERAGE(values)`: 2.0, `CONCATENATE(values)`: "1, 2, 3", `XOR(values)`: 1.0, `values`: []any{1.0, 2.0, 3.0},
	} {
		f, err := formula.Compile(src, s, formula.Limits{})
		if want == nil {
			if err == nil {
				t.Errorf("%s: in braces it is a field", src)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		env := &formula.Env{Values: []formula.Value{formula.Number(1), formula.Number(2), formula.Number(3)}}
		if diff := cmp.Diff(want, f.Eval(env).JSON()); diff != "" {
			t.Errorf("%s\n%s", src, diff)
		}
		if f.Fields() != nil {
			t.Errorf("%s names fields %v", src, f.Fields())
		}
	}
	f, err := formula.Compile(`AND(values)`, s, formula.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !f.Matches(&formula.Env{}) {
		t.Error("AND of nothing is true")
	}
}

func TestTruthy_OfFilters(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		`0`: false, `FALSE()`: false, `""`: false, `0/0`: false, `{No Look}`: false, `ERROR()`: false, `BLANK()`: false, `Empty`: false,
		`"0"`: true, `1/0`: true, `Due`: true, `Look`: true, `-1`: true,
	} {
		f, err := formula.Compile(src, schema, formula.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if f.Matches(env()) != want {
			t.Errorf("%s matches: %v", src, !want)
		}
	}
}

func TestFromCell_OfEveryFieldType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field string
		cell  any
		want  any
	}{
		{"singleLineText", "a", "a"}, {"singleLineText", "", nil}, {"number", 2.5, 2.5}, {"count", int64(3), 3.0}, {"checkbox", true, 1.0}, {"checkbox", false, nil},
		{"date", "2024-05-01", "2024-05-01"}, {"dateTime", "2024-05-01T10:00:00.000Z", "2024-05-01T10:00:00.000Z"}, {"multipleSelects", []any{"a", "b"}, "a, b"}, {"multipleRecordLinks", []string{}, nil},
		{"singleCollaborator", map[string]any{"id": "usr1", "email": "a@b.c", "name": "Ann"}, "Ann"}, {"barcode", map[string]any{"text": "123", "type": "ean13"}, "123"},
		{"multipleAttachments", []any{map[string]any{"id": "att1", "url": "u", "filename": "f.png"}}, "f.png"}, {"number", map[string]any{"specialValue": "NaN"}, nan}, {"number", map[string]any{"error": "#ERROR!"}, failed}, {"aiText", map[string]any{"state": "generated", "value": "v"}, "v"},
	} {
		typ, ok := formula.FieldType(c.field)
		if !ok {
			t.Fatalf("%s is unknown", c.field)
		}
		if diff := cmp.Diff(c.want, formula.FromCell(typ, c.cell).JSON()); diff != "" {
			t.Errorf("%s %v\n%s", c.field, c.cell, diff)
		}
	}
	list := formula.FromCell(formula.Type{Kind: formula.KindList, Elem: formula.KindDate, Day: true}, []any{"2024-05-01", nil, "2024-05-02"})
	if diff := cmp.Diff([]any{"2024-05-01", nil, "2024-05-02"}, list.JSON()); diff != "" || !list.Items()[0].IsDay() {
		t.Error(diff)
	}
}

func TestLimits_WhatGrowsTooLargeIsAnError(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`REPT("a",1e9)`, `REPT(REPT("a",1000000),1000000)`, `SUBSTITUTE(REPT("a",1000000),"a",REPT("b",1000))`, `REPT("a",1e6)&REPT("a",1e6)`, `ARRAYJOIN(ARRAYFLATTEN(1,2,3,4,5),REPT("a",900000))`,
		`REGEX_REPLACE(REPT("a",1000000),"","bbbb")`, `REGEX_REPLACE(REPT("a",1000000),"a*b|a","x")`, `REGEX_REPLACE(REPT("a",1000000),"(a+)","$1$1$1")`, `REGEX_MATCH(REPT("a",1000000),"(a{1,100}){1,9}b")`, `REGEX_MATCH("a","` + strings.Repeat("a", 2000) + `")`,
		`REGEX_MATCH("a","` + strings.Repeat("(x{1000})", 20) + `")`, `ENCODE_URL_COMPONENT(REPT("ä",300000))`, `CONCATENATE(` + strings.Repeat(`REPT("a",1000000),`, 50) + `1)`, `AND(` + strings.Repeat(`REPT("a",1000000),`, 100) + `1)`,
	} {
		f, err := formula.Compile(src, schema, formula.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if v := f.Eval(env()); v.Kind() != formula.KindError { // without limits they take hours
			t.Errorf("%.60s is a %v", src, v.Kind())
		}
	}
	for name, src := range map[string]string{
		"many patterns": `AND(` + strings.Repeat(`REGEX_MATCH("a","`+strings.Repeat("(x{1000})", 100)+`"),`, 250) + `1)`,
		"many names":    manyNames(),
	} {
		if _, err := formula.Compile(src, schema, formula.Limits{}); (err != nil) != (name == "many names") {
			t.Errorf("%s: %v", name, err)
		}
	}
	small, err := formula.Compile(`"abc"&"def"`, schema, formula.Limits{Text: 5})
	if err != nil {
		t.Fatal(err)
	}
	if small.Eval(env()).Kind() != formula.KindError {
		t.Error("the limit of text is not kept")
	}
}

func manyNames() string {
	var b strings.Builder
	b.WriteString("OR(")
	for i := range 30_000 {
		b.WriteString("{" + strconv.FormatInt(int64(i), 36) + "},")
	}
	return b.String() + "1)"
}
