package tokenizer

import (
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// class is a set of character properties, as the libraries behind Hugging Face's tokenizers see them.
type class uint8

const (
	classSpace       class = 1 << iota // White_Space
	classControl                       // what BERT's clean_text removes
	classPunctuation                   // what BERT splits off
	classMark                          // Mn: what strip_accents removes
	classIdeograph                     // what handle_chinese_chars puts spaces around
	classLetter
	classNumber
)

// classes holds the class of every code point. One byte each is a megabyte, and makes a look-up an index.
var classes [unicode.MaxRune + 1]class

// loadClasses fills classes from Go's tables and the differences.
var loadClasses = sync.OnceFunc(func() {
	for _, r := range ideographs {
		setClass(classIdeograph, r)
	}
	for _, source := range []struct {
		class       class
		tables      []*unicode.RangeTable
		not, andNot []runeRange
		and         []runeRange
	}{
		{class: classSpace, tables: []*unicode.RangeTable{unicode.White_Space}},
		{
			class: classControl, tables: []*unicode.RangeTable{unicode.Cc, unicode.Cf, unicode.Co}, not: formatNotYet,
			andNot: []runeRange{{'\t', '\n'}, {'\r', '\r'}}, and: []runeRange{{utf8.RuneError, utf8.RuneError}},
		},
		{
			class: classPunctuation, tables: []*unicode.RangeTable{unicode.P}, not: punctuationNotYet,
			and: append([]runeRange{{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}, punctuationBefore...),
		},
		{class: classMark, tables: []*unicode.RangeTable{unicode.Mn}, not: markNotYet, and: markBefore},
		{class: classLetter, tables: []*unicode.RangeTable{unicode.L}, and: letterAlready},
		{class: classNumber, tables: []*unicode.RangeTable{unicode.N}, and: numberAlready},
	} {
		for _, table := range source.tables {
			for _, r := range table.R16 {
				setStrided(source.class, rune(r.Lo), rune(r.Hi), rune(r.Stride))
			}
			for _, r := range table.R32 {
				setStrided(source.class, rune(r.Lo), rune(r.Hi), rune(r.Stride))
			}
		}
		for _, r := range slices.Concat(source.not, source.andNot) {
			for c := r.first; c <= r.last; c++ {
				classes[c] &^= source.class
			}
		}
		for _, r := range source.and {
			setClass(source.class, r)
		}
	}
})

func setClass(c class, r runeRange) { setStrided(c, r.first, r.last, 1) }

func setStrided(c class, first, last, stride rune) {
	for r := first; r <= last; r += stride {
		classes[r] |= c
	}
}

type runeRange struct{ first, last rune }

func contains(ranges []runeRange, r rune) bool {
	_, found := slices.BinarySearchFunc(ranges, r, func(x runeRange, r rune) int {
		switch {
		case x.last < r:
			return -1
		case x.first > r:
			return 1
		}
		return 0
	})
	return found
}

// isWord reports whether r matches \w of Rust's regex crate (UTS 18, annex C).
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control) ||
		contains(wordAlready, r)
}

// lower is the lower case of a character by itself, as Rust's char::to_lowercase has it, but for U+0130, which becomes
// two characters there.
func lower(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	for _, d := range lowerAlready {
		if d.first <= r && r <= d.last {
			return r + d.delta
		}
	}
	return unicode.ToLower(r)
}

// The algorithmic decomposition of Hangul (The Unicode Standard, section 3.12).
const (
	hangulBase, hangulEnd         = 0xAC00, 0xD7A4
	leadBase, vowelBase, tailBase = 0x1100, 0x1161, 0x11A7
	vowels, tails                 = 21, 28
)

// appendDecomposed appends the full canonical decomposition of r.
func appendDecomposed(runes []rune, r rune) []rune {
	if r < 0xC0 || contains(normalizationNotYet, r) {
		return append(runes, r)
	}
	if hangulBase <= r && r < hangulEnd {
		i := r - hangulBase
		runes = append(runes, leadBase+i/(vowels*tails), vowelBase+i/tails%vowels)
		if tail := i % tails; tail > 0 {
			runes = append(runes, tailBase+tail)
		}
		return runes
	}
	var buf [utf8.UTFMax]byte
	decomposition := norm.NFD.Properties(utf8.AppendRune(buf[:0], r)).Decomposition()
	if decomposition == nil {
		return append(runes, r)
	}
	for len(decomposition) > 0 {
		part, n := utf8.DecodeRune(decomposition)
		runes = append(runes, part)
		decomposition = decomposition[n:]
	}
	return runes
}

// combiningClass returns the canonical combining class of r, 0 for a starter.
func combiningClass(r rune) uint8 {
	if r < 0x300 || contains(normalizationNotYet, r) {
		return 0
	}
	var buf [utf8.UTFMax]byte
	return norm.NFD.Properties(utf8.AppendRune(buf[:0], r)).CCC()
}

// orderMarks sorts each run of combining characters by their class, which completes NFD. (norm.NFD itself also puts
// U+034F into runs of more than 30, which Hugging Face does not.)
func orderMarks(runes []rune) {
	for i := 0; i < len(runes); {
		if combiningClass(runes[i]) == 0 {
			i++
			continue
		}
		end := i + 1
		for end < len(runes) && combiningClass(runes[end]) != 0 {
			end++
		}
		slices.SortStableFunc(runes[i:end], func(a, b rune) int { return int(combiningClass(a)) - int(combiningClass(b)) })
		i = end
	}
}
