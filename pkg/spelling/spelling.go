// Package spelling finds the word that a mistyped one most likely means.
package spelling

import "strings"

// Nearest is the candidate that word is a slip of, by the fewest edits and the first of several; "" where there is
// none.
func Nearest(word string, candidates []string) string {
	best, fewest := "", 1<<30
	for _, candidate := range candidates {
		if edits, near := Slip(word, candidate); near && edits < fewest {
			best, fewest = candidate, edits
		}
	}
	return best
}

// Slip counts the insertions, deletions, replacements and swaps of neighbouring bytes (optimal string alignment) that
// turn word into candidate, ignoring case. Near says whether they are few enough for a slip, an edit for every three
// bytes of word; where they are not, the count is only a lower bound.
func Slip(word, candidate string) (edits int, near bool) {
	most := len(word) / 3
	// Before anything is allocated: either may come from a file.
	if d := len(word) - len(candidate); max(d, -d) > most || candidate == "" {
		return most + 1, false
	}
	a, b := strings.ToLower(word), strings.ToLower(candidate)
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		fewest := i
		for j := 1; j <= len(b); j++ {
			replaced := previous[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			current[j] = min(previous[j]+1, current[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
			fewest = min(fewest, current[j])
		}
		// A later row gets no smaller than this one, but for a swap, which reaches back one row more and adds one.
		if fewest > most+1 {
			return most + 1, false
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)], previous[len(b)] <= most
}
