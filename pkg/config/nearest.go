package config

import "strings"

// Nearest returns the legal word that word most likely means, or "" when none is close.
func Nearest(word string, legal []string) string {
	best, bestDistance := "", 1<<30
	for _, candidate := range legal {
		if d := distance(word, candidate); candidate != "" && near(d, word) && d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// near says whether d edits can still be a slip in a word of that length.
func near(d int, word string) bool { return d <= len(word)/3 }

// distance is the number of insertions, deletions, replacements and swaps of neighbours (optimal string
// alignment) that turn a into b, ignoring case. Words longer than any key are as far as they are long.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			replace := 1
			if a[i-1] == b[j-1] {
				replace = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
