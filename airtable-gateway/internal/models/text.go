package models

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func textNumber(f *Field, v any, _ Display) string {
	n, _ := v.(float64)
	return strconv.FormatFloat(n, 'f', f.Options.Precision, 64)
}

func textPlainNumber(_ *Field, v any, _ Display) string { return string(Marshal(v)) }

func textCurrency(f *Field, v any, _ Display) string {
	n, _ := v.(float64)
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return sign + f.Options.Symbol + strconv.FormatFloat(n, 'f', f.Options.Precision, 64)
}

func textPercent(f *Field, v any, _ Display) string {
	n, _ := v.(float64)
	return strconv.FormatFloat(n*100, 'f', f.Options.Precision, 64) + "%"
}

func textDuration(f *Field, v any, _ Display) string {
	n, _ := v.(float64)
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	_, fraction, _ := strings.Cut(f.Options.DurationFormat, ".")
	if f.Options.DurationFormat == "h:mm" {
		minutes := math.Round(n / 60)
		return fmt.Sprintf("%s%.0f:%02.0f", sign, math.Floor(minutes/60), math.Mod(minutes, 60))
	}
	digits := len(fraction)
	scale := math.Pow(10, float64(digits))
	n = math.Round(n*scale) / scale
	width := 2
	if digits > 0 {
		width += digits + 1
	}
	return fmt.Sprintf("%s%.0f:%02.0f:%0*.*f", sign, math.Floor(n/3600), math.Floor(math.Mod(n, 3600)/60),
		width, digits, math.Mod(n, 60))
}

func textCheckbox(*Field, any, Display) string { return "checked" }

func textList(_ *Field, v any, _ Display) string { return strings.Join(Strings(v), ", ") }

func textLinks(_ *Field, v any, d Display) string {
	ids := Strings(v)
	titles := make([]string, len(ids))
	for i, id := range ids {
		titles[i] = d.Titles[RecordID(id)]
	}
	return strings.Join(titles, ", ")
}

func textDate(f *Field, v any, d Display) string {
	s, _ := v.(string)
	t, err := time.Parse(dateLayout, s)
	if err != nil {
		return s
	}
	return t.Format(dayLayout(f.Options.DateFormat, d.Locale))
}

func textDateTime(f *Field, v any, d Display) string {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	zone := d.Zone
	if f.Options.zone != nil || zone == nil {
		zone = f.Options.Zone()
	}
	t = t.In(zone)
	day := t.Format(dayLayout(f.Options.DateFormat, d.Locale))
	if f.Options.TimeFormat == "24hour" {
		return day + t.Format(" 15:04")
	}
	return day + t.Format(" 3:04pm")
}

func textResult(f *Field, v any, d Display) string {
	if f.Options.ResultType == Date {
		return textDate(f, v, d)
	}
	return textDateTime(f, v, d)
}

func dayLayout(format, locale string) string {
	switch format {
	case "friendly":
		return "January 2, 2006"
	case "us":
		return "1/2/2006"
	case "european":
		return "2/1/2006"
	case "iso":
		return dateLayout
	}
	if l := strings.ToLower(locale); l == "" || l == "en" || l == "en-us" {
		return "1/2/2006"
	}
	return "2/1/2006"
}
