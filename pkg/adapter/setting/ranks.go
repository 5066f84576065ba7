package setting

import (
	"fmt"
	"slices"
)

// SettleRanks makes Rank the largest of the ranks that a list has for each of so many parts (bonds, modes) of the
// method, described for errors. A rank that was set beside them is taken back only where it stands below them.
func (a *Asked) SettleRanks(ranks []int, parts int, part, described string) []Fault {
	if len(ranks) == 0 {
		return nil
	}
	fault := func(key, format string, args ...any) []Fault {
		return []Fault{{Key: key, Message: fmt.Sprintf(format, args...)}}
	}
	largest := slices.Max(ranks)
	switch {
	case len(ranks) != parts && !a.Saved:
		return fault("ranks", "%d ranks; %s has %d %s, each with one", len(ranks), described, parts, part)
	case a.Budget > 0:
		return fault("budget", "chooses one rank for all %s; leave adapter.ranks out", part)
	case a.Rank != largest && a.Counts("rank", "ranks"):
		return fault("rank", "%d stands beside adapter.ranks %v, which take its place: leave one of them out (adapter.ranks= empties the list)", a.Rank, ranks)
	}
	a.Rank = largest
	return nil
}
