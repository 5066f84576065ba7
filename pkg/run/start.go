package run

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/train"
)

// start is what a run begins with: the adapter of a checkpoint, of
// adapter.init_from or of adapter.append.to, or with saved nil a new one.
type start struct {
	saved   *adapter.Saved
	appends bool // the run's task joins those of saved, with a head of its own
}

// openStart reads what the configuration, or the checkpoint where there is one,
// begins with, and puts what that decides into the configuration.
func openStart(c *config.Config, checkpoint *train.Checkpoint) (s start, err error) {
	dir := cmp.Or(c.Adapter.Append.To, c.Adapter.InitFrom)
	switch {
	case checkpoint != nil:
		dir = checkpoint.Dir
	case dir == "":
		return s, nil
	default:
		s.appends = c.Adapter.Append.To != ""
		if dir, err = adapterFolder(dir); err != nil {
			return s, err
		}
	}
	if s.saved, err = adapter.Read(dir); err != nil {
		return s, err
	}
	if err = adopt(c, s.saved.Config); err == nil {
		err = checkTasks(c, s.saved, s.appends)
	}
	return s, err
}

// trained is what holds the run's head; nil: nothing.
func (s start) trained() *adapter.Saved {
	if s.appends {
		return nil
	}
	return s.saved
}

// needsBackbone: saved has tasks that only the model that they were trained on serves.
func (s start) needsBackbone() bool {
	return s.saved != nil && (s.appends || len(s.saved.Config.FrozenTasks) > 0)
}

func (s start) close() {
	if s.saved != nil {
		s.saved.Close() // it was only read
	}
}

// adopt puts what a saved adapter decides into the configuration. A value that
// the command line gave must agree; a file's is replaced.
func adopt(c *config.Config, saved adapter.Config) error {
	var problems []config.Problem
	check := func(key string, differs bool, theirs any) {
		if differs && c.FromCommandLine(key) {
			problems = append(problems, config.Problem{
				Where: "command line", Key: key, Message: fmt.Sprintf("the adapter in %s has %v: leave the key out", cmp.Or(c.Adapter.InitFrom, c.Adapter.Append.To), theirs),
			})
		}
	}
	rank, ranks, taskAfter := c.Adapter.Rank, []int{}, ""
	if len(saved.Ranks) > 0 {
		rank = int(slices.Max(saved.Ranks))
	}
	if bonds := len(saved.Ranks); bonds > 1 && bonds == len(saved.Modes)-1 && slices.Min(saved.Ranks) < int64(rank) {
		for _, r := range saved.Ranks {
			ranks = append(ranks, int(r))
		}
	}
	if i := slices.Index(saved.Modes, adapter.TaskMode); i > 0 {
		taskAfter = saved.Modes[i-1]
	}
	check("adapter.method", c.Adapter.Method != saved.Method, saved.Method)
	check("adapter.rank", c.Adapter.Rank != rank, rank)
	check("adapter.ranks", !slices.EqualFunc(c.Adapter.Ranks, saved.Ranks, func(a int, b int64) bool { return int64(a) == b }), saved.Ranks)
	check("adapter.task_after", c.Adapter.TaskAfter != taskAfter, cmp.Or(taskAfter, "no task mode"))
	check("adapter.tt_rank", int64(c.Adapter.TTRank) != saved.TTRank, saved.TTRank)
	check("adapter.alpha", c.Adapter.Alpha != nil && *c.Adapter.Alpha != saved.Alpha, saved.Alpha)
	check("adapter.dropout", c.Adapter.Dropout != saved.Dropout, saved.Dropout)
	check("adapter.targets", !slices.Equal(c.Adapter.Targets, saved.Targets), saved.Targets)
	check("adapter.init", c.Adapter.Init != saved.Init, saved.Init)
	if len(problems) > 0 {
		return &config.Error{Problems: problems}
	}
	c.Adapter.Method, c.Adapter.Rank, c.Adapter.TTRank, c.Adapter.Init = saved.Method, rank, int(saved.TTRank), saved.Init
	c.Adapter.Ranks, c.Adapter.TaskAfter = ranks, taskAfter
	// A method that lacks one of these says nothing of it.
	if saved.Alpha != 0 {
		c.Adapter.Alpha, c.Adapter.Dropout = &saved.Alpha, saved.Dropout
	}
	if len(saved.Targets) > 0 {
		c.Adapter.Targets = saved.Targets
	}
	return nil
}

// noteAll passes on what reading a folder has found; saved may be nil.
func noteAll(saved *adapter.Saved, note func(string)) {
	if saved == nil || note == nil {
		return
	}
	for _, text := range saved.Notes() {
		note(saved.Dir + ": " + text)
	}
}
