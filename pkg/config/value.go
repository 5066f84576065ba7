package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/metatt/metatt/pkg/spelling"
)

// parse turns the text of a value into the type of the key's field and checks it against the key's limits. The
// second result says what is wrong; it is empty when nothing is.
func (k *Key) parse(text string) (any, string) {
	switch k.kind {
	case reflect.TypeFor[bool]():
		if text != "true" && text != "false" {
			return nil, fmt.Sprintf("%s is neither true nor false", quote(text))
		}
		return text == "true", ""
	case reflect.TypeFor[int]():
		n, problem := k.parseInteger(text)
		return n, problem
	case reflect.TypeFor[float64]():
		x, problem := k.parseNumber(text)
		return x, problem
	case reflect.TypeFor[*float64]():
		if text == "null" || text == "" {
			return (*float64)(nil), ""
		}
		x, problem := k.parseNumber(text)
		return &x, problem
	case reflect.TypeFor[*int]():
		if text == "null" || text == "" {
			return (*int)(nil), ""
		}
		n, problem := k.parseInteger(text)
		return &n, problem
	case reflect.TypeFor[Interval]():
		return k.parseInterval(text)
	case reflect.TypeFor[Mixture]():
		return parseMixture(text)
	case reflect.TypeFor[[]string](), reflect.TypeFor[Tasks]():
		return k.parseList(strings.Split(text, ","))
	case reflect.TypeFor[[]int](), reflect.TypeFor[[]float64]():
		if strings.TrimSpace(text) == "" {
			return k.parseList(nil)
		}
		return k.parseList(strings.Split(text, ","))
	}
	return k.parseText(text)
}

// largest is the largest whole number but for a seed's: products of two, such as epochs and the steps of one, are whole
// numbers still.
const largest = math.MaxInt32

func (k *Key) parseInteger(text string) (int, string) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Sprintf("%s is not an integer", quote(text))
	}
	if n > largest && !strings.HasSuffix(k.Name, "seed") {
		return 0, fmt.Sprintf("%s is out of range; must be <= %d", text, largest)
	}
	return n, k.limits.check(float64(n), text)
}

func (k *Key) parseNumber(text string) (float64, string) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, fmt.Sprintf("%s is not a finite number", quote(text))
	}
	return x, k.limits.check(x, text)
}

func (k *Key) parseText(text string) (any, string) {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return nil, fmt.Sprintf("%s holds a control character or is not UTF-8", quote(text))
	}
	if k.Name == "device" && !validDevice(text) {
		return nil, fmt.Sprintf("%s is not auto, cpu, cuda or cuda:N", quote(text))
	}
	return text, k.checkEnum(text)
}

// parseList takes the elements of a list key, in the order given. A list of integers or numbers may be empty; the key's
// limits are those of each element.
func (k *Key) parseList(words []string) (any, string) {
	switch k.kind {
	case reflect.TypeFor[[]int]():
		return parseEach(words, k.parseInteger)
	case reflect.TypeFor[[]float64]():
		return parseEach(words, k.parseNumber)
	case reflect.TypeFor[Tasks]():
		for i, word := range words {
			words[i] = taskName(word)
		}
		list, problem := k.parseWords(words)
		return Tasks(list), problem
	}
	if len(words) == 1 && strings.TrimSpace(words[0]) == "all" {
		return slices.Clone(k.enum), ""
	}
	list, problem := k.parseWords(words)
	return list, problem
}

func parseEach[T int | float64](words []string, parse func(string) (T, string)) (any, string) {
	list := make([]T, len(words)) // never nil: an empty list is equal to what was written as []
	for i, word := range words {
		var problem string
		if list[i], problem = parse(strings.TrimSpace(word)); problem != "" {
			return nil, problem
		}
	}
	return list, ""
}

// parseWords takes distinct words of the enumeration.
func (k *Key) parseWords(words []string) ([]string, string) {
	list := make([]string, 0, len(k.enum))
	for _, word := range words {
		word = strings.TrimSpace(word)
		if problem := k.checkEnum(word); problem != "" {
			return nil, problem
		}
		if slices.Contains(list, word) {
			return nil, fmt.Sprintf("%s is listed twice", quote(word))
		}
		list = append(list, word)
	}
	if len(list) == 0 {
		return nil, "is empty; legal: " + strings.Join(k.enum, ", ")
	}
	return list, ""
}

func (k *Key) checkEnum(word string) string {
	if k.enum == nil {
		return ""
	}
	return checkWord(word, k.enum)
}

// checkWord takes a word of a list, where the empty word stands for none.
func checkWord(word string, words []string) string {
	if slices.Contains(words, word) {
		return ""
	}
	if best := spelling.Nearest(word, words); best != "" {
		return fmt.Sprintf("%s is unknown; did you mean %s?", quote(word), best)
	}
	legal := slices.DeleteFunc(slices.Clone(words), func(s string) bool { return s == "" })
	return fmt.Sprintf("%s is unknown; legal: %s", quote(word), strings.Join(legal, ", "))
}

func validDevice(text string) bool {
	index, numbered := strings.CutPrefix(text, "cuda:")
	if !numbered {
		return text == "auto" || text == "cpu" || text == "cuda"
	}
	// libtorch's device index is a signed byte.
	_, err := strconv.ParseUint(index, 10, 7)
	return err == nil
}

// quote keeps a message on one short line whatever the value is.
func quote(text string) string {
	const longest = 60
	if len(text) > longest {
		return strconv.Quote(text[:longest]) + "…"
	}
	return strconv.Quote(text)
}

// interval is a range of numbers; an infinite end is no limit.
type interval struct {
	low, high         float64
	openLow, openHigh bool
}

// parseLimits reads the range tag: "[1,)", "(0,1]". A tag that is malformed is a slip in this package, so it
// panics, and every test meets it.
func parseLimits(tag string) interval {
	r := interval{low: math.Inf(-1), high: math.Inf(1)}
	if tag == "" {
		return r
	}
	low, high, ok := strings.Cut(tag[1:len(tag)-1], ",")
	if !ok {
		panic("config: range tag " + tag)
	}
	r.openLow, r.openHigh = tag[0] == '(', tag[len(tag)-1] == ')'
	for _, end := range []struct {
		text string
		to   *float64
	}{{low, &r.low}, {high, &r.high}} {
		if end.text == "" {
			continue
		}
		x, err := strconv.ParseFloat(end.text, 64)
		if err != nil {
			panic("config: range tag " + tag)
		}
		*end.to = x
	}
	return r
}

func (r interval) check(x float64, text string) string {
	if x < r.low || x > r.high || (r.openLow && x == r.low) || (r.openHigh && x == r.high) {
		return fmt.Sprintf("%s is out of range; must be %s", text, r)
	}
	return ""
}

// String is "> 0", ">= 1 and < 2" or, without limits, empty.
func (r interval) String() string {
	var ends []string
	if !math.IsInf(r.low, 0) {
		ends = append(ends, comparison(">", r.openLow, r.low))
	}
	if !math.IsInf(r.high, 0) {
		ends = append(ends, comparison("<", r.openHigh, r.high))
	}
	return strings.Join(ends, " and ")
}

func comparison(sign string, open bool, x float64) string {
	if !open {
		sign += "="
	}
	return sign + " " + strconv.FormatFloat(x, 'g', -1, 64)
}
