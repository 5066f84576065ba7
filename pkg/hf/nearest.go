package hf

// Nearest is the entry of among with the smallest edit distance to name, the
// first of several, for "missing tensor" messages. It is "" when every entry
// would have to change by more than half.
func Nearest(name string, among []string) string {
	best, bestDistance := "", len(name)/2+1
	for _, candidate := range among {
		if d := editDistance(name, candidate, bestDistance); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// editDistance is Levenshtein's in bytes, or any value of at least limit when
// it reaches that.
func editDistance(a, b string, limit int) int {
	if d := len(a) - len(b); max(d, -d) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal, smallest := row[0], i+1
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
			smallest = min(smallest, row[j+1])
		}
		if smallest >= limit {
			return limit
		}
	}
	return row[len(b)]
}
