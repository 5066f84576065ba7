package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

const none = "–" // in the place of a number that there is not

// number writes a metric with four decimals.
func number(x float64) string {
	switch {
	case math.IsNaN(x):
		return none
	case math.Abs(x) >= 1000:
		return strconv.FormatFloat(x, 'g', 4, 64)
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

// signed is number with its sign.
func signed(x float64) string {
	switch text := number(x); {
	case text == "0.0000", text == "-0.0000":
		return "0.0000"
	case x > 0:
		return "+" + text
	}
	return strings.Replace(number(x), "-", "−", 1)
}

// spread writes mean ± standard deviation.
func spread(s Sample) string {
	if len(s.Values) < 2 {
		return number(s.Mean())
	}
	return number(s.Mean()) + " ±" + number(s.Std())
}

// whole writes 22713216.4 as 22,713,216.
func whole(x float64) string {
	if math.IsNaN(x) {
		return none
	}
	digits := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// duration writes seconds with three digits: 4.21 s, 38.0 s, 12.3 min, 5.20 h.
func duration(seconds float64) string {
	unit := "s"
	switch {
	case math.IsNaN(seconds):
		return none
	case seconds >= 2*3600:
		seconds, unit = seconds/3600, "h"
	case seconds >= 120:
		seconds, unit = seconds/60, "min"
	}
	return digits(seconds) + " " + unit
}

// memory writes bytes in MiB or GiB.
func memory(bytes float64) string {
	mib := bytes / (1 << 20)
	switch {
	case math.IsNaN(bytes):
		return none
	case mib >= 1024:
		return digits(mib/1024) + " GiB"
	}
	return digits(mib) + " MiB"
}

// digits writes three digits, or all before the point.
func digits(x float64) string {
	switch {
	case math.IsNaN(x):
		return none
	case x >= 99.95:
		return whole(x)
	case x >= 9.995:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// probability writes a p-value.
func probability(p float64) string {
	if p < 0.0001 {
		return "< 0.0001"
	}
	return strconv.FormatFloat(p, 'f', 4, 64)
}

// count writes 1 run, 2 runs.
func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// Printable is a text from outside with what would change the terminal or the line made
// visible.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
