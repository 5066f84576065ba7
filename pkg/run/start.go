package run

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/train"
)

// start is what a run begins with: the adapter of a checkpoint, of
// adapter.init_from or of adapter.append.to, or with saved nil a new one.
type start struct {
	saved   *adapter.Saved
	resumes bool // saved is of a checkpoint of the run itself
	appends bool // the run's task joins those of saved, with a head of its own
}

// openStart reads what the configuration, or the checkpoint where there is one,
// begins with, and puts what that decides into the configuration.
func openStart(c *config.Config, checkpoint *train.Checkpoint) (s start, err error) {
	dir := cmp.Or(c.Adapter.Append.To, c.Adapter.InitFrom)
	switch {
	case checkpoint != nil:
		dir, s.resumes = checkpoint.Dir, true
	case dir == "":
		return s, nil
	default:
		s.appends = c.Adapter.Append.To != ""
		if dir, err = place.Adapter(dir); err != nil {
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

// files are the saved adapter's.
func (s start) files() []string {
	if s.saved == nil {
		return nil
	}
	return s.saved.Files()
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
		if differs && c.Overrides(key) {
			problems = append(problems, config.Problem{
				Where: "command line", Key: key, Message: fmt.Sprintf("the adapter in %s has %v: leave the key out", cmp.Or(c.Adapter.InitFrom, c.Adapter.Append.To), theirs),
			})
		}
	}
	method, err := adapter.Lookup(saved.Method)
	if err != nil {
		return err
	}
	settings := c.Adapter.Settings(saved.Method)
	if method.Adopted != nil {
		settings = method.Adopted(saved, settings)
	}
	rank := c.Adapter.Rank
	if len(saved.Ranks) > 0 {
		rank = int(slices.Max(saved.Ranks))
	}
	check("adapter.method", c.Adapter.Method != saved.Method, saved.Method)
	check("adapter.rank", c.Adapter.Rank != rank, rank)
	check("adapter.alpha", c.Adapter.Alpha != nil && *c.Adapter.Alpha != saved.Alpha, saved.Alpha)
	check("adapter.targets", !slices.Equal(c.Adapter.Targets, saved.Targets), saved.Targets)
	keys, theirs := c.Overruled(saved.Method, settings)
	for i, key := range keys {
		check(key, true, theirs[i])
	}
	if len(problems) > 0 {
		return &config.Error{Problems: problems}
	}
	c.Adapter.Rank = rank
	c.Adopt(saved.Method, settings)
	// A method that lacks one of these says nothing of it.
	if saved.Alpha != 0 {
		c.Adapter.Alpha = &saved.Alpha
	}
	if len(saved.Targets) > 0 {
		c.Adapter.Targets = saved.Targets
	}
	return nil
}
