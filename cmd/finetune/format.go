package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/task"
)

// grouped writes 22713216 as 22,713,216.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// clock writes a duration as 0:42, 12:05 or 1:02:42, rounded to a second.
func clock(d time.Duration) string {
	seconds := int64(max(d, 0).Round(time.Second) / time.Second)
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// size writes bytes with a binary unit: 1.2 GiB.
func size(bytes int64) string {
	x, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for x >= 1023.5 && len(units) > 1 {
		x, units = x/1024, units[1:]
	}
	decimals := 1
	if x >= 99.95 || units[0] == "B" {
		decimals = 0
	}
	return strconv.FormatFloat(x, 'f', decimals, 64) + " " + units[0]
}

// figure writes a loss with four decimals, whatever is too large for that with four digits.
func figure(x float64) string {
	if math.Abs(x) >= 1000 {
		return strconv.FormatFloat(x, 'g', 4, 64)
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

// rate writes samples a second: whole above ten.
func rate(x float64) string {
	if x < 10 {
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return grouped(int64(math.Round(x)))
}

func metric(m task.Metric) string {
	if m.Undefined {
		return "undefined"
	}
	return figure(m.Value)
}

// wrap breaks text between words into lines of at most width columns; a longer word has a line for itself.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
