package config

import (
	"fmt"
	"slices"
	"strings"
)

// coresOf is the number of cores of the methods that are one tensor train, without a task mode.
var coresOf = map[string]int{"metatt4d": 4, "metatt5d": 5}

// settleTrain fills in and checks what depends on the number of cores of a train: adapter.init and adapter.ranks.
func (c *Config) settleTrain() []Problem {
	cores, ok := coresOf[c.Adapter.Method]
	if !ok {
		return nil
	}
	described := c.Adapter.Method
	if c.Adapter.TaskAfter != "" {
		cores++
		described += " with a task mode"
	}
	return append(c.settleInit(cores, described), c.settleRanks(cores-1, described)...)
}

// settleInit fills the default of adapter.init in, where it does not depend on the ranks, and checks the one given. Exactly one core starts at zero: with none
// the update would not start at zero, with two no gradient would reach any core.
func (c *Config) settleInit(cores int, described string) []Problem {
	if c.Adapter.Init == "" && len(c.Adapter.Ranks) > 0 {
		return nil // the method's choice for these ranks
	}
	if c.Adapter.Init == "" {
		c.Adapter.Init = "ze" + strings.Repeat("-id", cores-1)
		return nil
	}
	starts := strings.Split(c.Adapter.Init, "-")
	var message string
	zeros := 0
	for _, start := range starts {
		if !slices.Contains([]string{"ze", "id", "no", "or"}, start) {
			message = fmt.Sprintf("%s is no start of a core; legal: ze, id, no, or, joined by -", quote(start))
		}
		if start == "ze" {
			zeros++
		}
	}
	switch {
	case message != "":
	case len(starts) != cores && !c.fromSaved():
		message = fmt.Sprintf("%s is for %d cores; %s has %d", quote(c.Adapter.Init), len(starts), described, cores)
	case zeros != 1 && !c.fromSaved(): // a saved start is past that
		message = fmt.Sprintf("%s has %d cores at ze; exactly one must be, or nothing is learned from a zero update", quote(c.Adapter.Init), zeros)
	default:
		return nil
	}
	return []Problem{{Where: c.where["adapter.init"], Key: "adapter.init", Message: message}}
}

// settleRanks checks adapter.ranks and makes adapter.rank the largest of them. A rank that was set beside them is
// taken back only where it stands below them: in a file, when the ranks come from the command line.
func (c *Config) settleRanks(bonds int, described string) []Problem {
	a := &c.Adapter
	if len(a.Ranks) == 0 {
		return nil
	}
	problem := func(key, message string) []Problem {
		return []Problem{{Where: c.where[key], Key: key, Message: message}}
	}
	largest := slices.Max(a.Ranks)
	switch {
	case len(a.Ranks) != bonds && !c.fromSaved():
		return problem("adapter.ranks", fmt.Sprintf("%d ranks; %s has %d bonds, each with one", len(a.Ranks), described, bonds))
	case a.Budget > 0:
		return problem("adapter.budget", "chooses one rank for all bonds; leave adapter.ranks out")
	case a.Rank != largest && c.where["adapter.rank"] != "" && c.source("adapter.rank") >= c.source("adapter.ranks"):
		return problem("adapter.rank", fmt.Sprintf("%d stands beside adapter.ranks %v, which take its place: leave one of them out (adapter.ranks= empties the list)", a.Rank, a.Ranks))
	}
	a.Rank = largest
	return nil
}

// fromSaved: a saved adapter decides the method and the modes.
func (c *Config) fromSaved() bool { return c.Adapter.InitFrom != "" || c.Adapter.Append.To != "" }

// source orders the places where a key may be set: file, environment, command line.
func (c *Config) source(key string) int {
	switch c.where[key] {
	case commandLine:
		return 2
	case Variable(key):
		return 1
	}
	return 0
}

// checkAppend looks for keys that contradict adapter.append.to, or stand without it.
func (c *Config) checkAppend() []Problem {
	a := c.Adapter
	problem := func(key, message string) []Problem {
		return []Problem{{Where: c.where[key], Key: key, Message: message}}
	}
	switch {
	case a.Append.To != "" && a.InitFrom != "":
		return problem("adapter.append.to", "stands beside adapter.init_from, which trains a saved adapter further; leave one of them out")
	case c.fromSaved() && a.Budget > 0:
		return problem("adapter.budget", "chooses a rank; the saved adapter decides it")
	case a.Append.To == "" && a.Append.Grow > 0:
		return problem("adapter.append.grow", "is for a task appended to a saved adapter; adapter.append.to names none")
	case a.Append.To == "" && a.Append.Start != "zero":
		return problem("adapter.append.start", "is for a task appended to a saved adapter; adapter.append.to names none")
	case a.Append.Start == "":
		return problem("adapter.append.start", "is empty; legal: zero, mean or the name of a task of the saved adapter")
	}
	return nil
}
