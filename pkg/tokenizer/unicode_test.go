package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestUnicode asks of every code point what testdata/golden.py asked the reference, and compares digests of the answers.
func TestUnicode(t *testing.T) {
	loadClasses()
	var want []string
	readJSON(t, "unicode.json", &want)
	clean := &bertEncoder{bertRules: bertRules{cleanText: true}}
	spaced := &bertEncoder{bertRules: bertRules{spaceIdeographs: true}}
	strip := &bertEncoder{bertRules: bertRules{stripAccents: true}}
	lowercase := &bertEncoder{bertRules: bertRules{lowercase: true}}
	const marks = "\u0334\u16ff0\u302e\u302a\u0316\u0327\u0345\u0321\u031b\u0315\u0300\u035c\u0360\u05b0\u05b1\u05b2\u05b3\u05b4\u05b5" +
		"\u05b6\u05b7\u05b8\u05b9\u05bb\u05bc\u05bd\u05bf\u05c1\u05c2\ufb1e\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652" +
		"\u0670\u0711\u0c55\u0c56\u0e38\u0e48\u0eb8\u0ec8\u0f71\u0f72\u0f74\u093c\u3099\u094d\u302b\u1dfa"
	pieces := func(text string) int { return len(slices.Collect(byteLevelWords(text))) }

	const block = 0x1000
	for start := rune(0); start <= unicode.MaxRune; start += block {
		digest := sha256.New()
		for r := start; r < start+block; r++ {
			if 0xD800 <= r && r < 0xE000 {
				continue
			}
			c := string(r)
			small := c
			if r != 'İ' { // golden.json has it
				small = lowercase.normalize(c)
			}
			ends := 1 // a single word before it
			if isWord(r) {
				ends = 0
			}
			line := []string{
				fmt.Sprintf("%X", r), clean.normalize(c), spaced.normalize(c), strip.normalize(c), small, nfd(c),
				strings.Join(slices.Collect(bertWords("a"+c+"b")), "/"),
				fmt.Sprint(pieces("a" + c)), fmt.Sprint(pieces("1" + c)), fmt.Sprint(pieces("!" + c)), fmt.Sprint(ends),
				nfd("\u0315" + c), nfd(c + "\u0334"),
			}
			if n := len(line); line[n-2] != "\u0315"+nfd(c) || line[n-1] != nfd(c)+"\u0334" {
				for _, m := range marks {
					line = append(line, nfd(string(m)+c))
				}
			}
			digest.Write([]byte(strings.Join(line, "|") + "\n"))
		}
		if got := hex.EncodeToString(digest.Sum(nil))[:16]; got != want[start/block] {
			t.Errorf("U+%04X…U+%04X: Go's Unicode %s with unicode_differences.go is not the reference's", start, start+block-1, unicode.Version)
		}
	}
}

func nfd(s string) string {
	var runes []rune
	for _, r := range s {
		runes = appendDecomposed(runes, r)
	}
	orderMarks(runes)
	return string(runes)
}
