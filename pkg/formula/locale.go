package formula

import (
	"strconv"
	"strings"
)

// locale is how dates are written in a language, as in moment.js's files.
type locale struct {
	months, monthsShort       []string
	weekdays, weekdaysShort   []string // from Sunday
	firstWeekday, weekOneHas  int      // weeks begin on; week 1 holds this day of January
	time, seconds             string   // LT, LTS
	short, long, full, fuller string   // L, LL, LLL, LLLL
	ordinal                   func(n int) string
	upperMeridiem             [2]string // AM, PM
}

// localeNamed returns the locale of a name such as de or de-AT. Unconfirmed: an
// unknown one is English.
func localeNamed(name string) *locale {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if l, ok := locales[name]; ok {
		return l
	}
	language, _, _ := strings.Cut(name, "-")
	if l, ok := locales[language]; ok {
		return l
	}
	return locales["en"]
}

func names(s string) []string { return strings.Split(s, " ") }

func suffixed(suffix string) func(int) string {
	return func(n int) string { return strconv.Itoa(n) + suffix }
}

func englishOrdinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

var english = locale{
	months:      names("January February March April May June July August September October November December"),
	monthsShort: names("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"),
	weekdays:    names("Sunday Monday Tuesday Wednesday Thursday Friday Saturday"), weekdaysShort: names("Sun Mon Tue Wed Thu Fri Sat"),
	firstWeekday: 0, weekOneHas: 1,
	time: "h:mm A", seconds: "h:mm:ss A",
	short: "MM/DD/YYYY", long: "MMMM D, YYYY", full: "MMMM D, YYYY h:mm A", fuller: "dddd, MMMM D, YYYY h:mm A",
	ordinal: englishOrdinal, upperMeridiem: [2]string{"AM", "PM"},
}

func british() *locale {
	l := english
	l.firstWeekday, l.weekOneHas = 1, 4
	l.time, l.seconds = "HH:mm", "HH:mm:ss"
	l.short, l.long, l.full, l.fuller = "DD/MM/YYYY", "D MMMM YYYY", "D MMMM YYYY HH:mm", "dddd, D MMMM YYYY HH:mm"
	return &l
}

var locales = map[string]*locale{
	"en":    &english,
	"en-gb": british(), "en-au": british(), "en-nz": british(), "en-ie": british(),
	"de": {
		months:      names("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
		monthsShort: names("Jan. Feb. März Apr. Mai Juni Juli Aug. Sep. Okt. Nov. Dez."),
		weekdays:    names("Sonntag Montag Dienstag Mittwoch Donnerstag Freitag Samstag"), weekdaysShort: names("So. Mo. Di. Mi. Do. Fr. Sa."),
		firstWeekday: 1, weekOneHas: 4, time: "HH:mm", seconds: "HH:mm:ss",
		short: "DD.MM.YYYY", long: "D. MMMM YYYY", full: "D. MMMM YYYY HH:mm", fuller: "dddd, D. MMMM YYYY HH:mm",
		ordinal: suffixed("."), upperMeridiem: [2]string{"AM", "PM"},
	},
	"fr": {
		months:      names("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
		monthsShort: names("janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc."),
		weekdays:    names("dimanche lundi mardi mercredi jeudi vendredi samedi"), weekdaysShort: names("dim. lun. mar. mer. jeu. ven. sam."),
		firstWeekday: 1, weekOneHas: 4, time: "HH:mm", seconds: "HH:mm:ss",
		short: "DD/MM/YYYY", long: "D MMMM YYYY", full: "D MMMM YYYY HH:mm", fuller: "dddd D MMMM YYYY HH:mm",
		ordinal: func(n int) string {
			if n == 1 {
				return "1er"
			}
			return strconv.Itoa(n)
		}, upperMeridiem: [2]string{"AM", "PM"},
	},
	"es": {
		months:      names("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
		monthsShort: names("ene. feb. mar. abr. may. jun. jul. ago. sep. oct. nov. dic."),
		weekdays:    names("domingo lunes martes miércoles jueves viernes sábado"), weekdaysShort: names("dom. lun. mar. mié. jue. vie. sáb."),
		firstWeekday: 1, weekOneHas: 4, time: "H:mm", seconds: "H:mm:ss",
		short: "DD/MM/YYYY", long: "D [de] MMMM [de] YYYY", full: "D [de] MMMM [de] YYYY H:mm", fuller: "dddd, D [de] MMMM [de] YYYY H:mm",
		ordinal: suffixed("º"), upperMeridiem: [2]string{"AM", "PM"},
	},
}
