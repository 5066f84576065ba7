package metatt

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
)

// Settings are MetaTT's own keys.
type Settings struct {
	Ranks     []int  `yaml:"ranks" default:"" range:"[1,)" after:"rank" aka:"bond_ranks,link_dims" doc:"a rank for each bond of MetaTT's tensor train, from the left, or for each mode of TensLoRA, in, out, matrix, layer, in the place of adapter.rank; empty: adapter.rank for all, no more than a mode is long"`
	Init      string `yaml:"init" default:"" after:"targets" aka:"init_weights,init_lora_weights" doc:"MetaTT: start of each core, ze, id, no or or, joined by -; empty: ze-id-id-id, for metatt5d or-id-id-id-ze, which trains at more rates than the paper's ze-id-id-id-id"`
	TaskAfter string `yaml:"task_after" default:"" enum:",in,layer,matrix,head" after:"init_from" aka:"task_mode" doc:"MetaTT: the mode behind which the tensor train has a task mode, with a slice for each task of the run and for those appended later; empty: no such mode, one update for all"`
}

// TaskMode implements [adapter.TaskSettings].
func (s Settings) TaskMode() bool { return s.TaskAfter != "" }

// settle fills in and checks what depends on the cores, which a task mode adds one
// to: init and ranks. Where a saved adapter decides the modes, it is
// past that.
func settle(asked *setting.Asked, modes []string) []setting.Fault {
	s, described := asked.Settings.(*Settings), asked.Method
	if s.TaskMode() {
		if _, err := placeTask(modes, true, s.TaskAfter); err != nil && !asked.Saved {
			return []setting.Fault{{Key: "task_after", Message: fmt.Sprintf("of %s %v", described, err)}}
		}
		modes = slices.Insert(slices.Clone(modes), 1, modeTask) // wherever it comes to stand
		described += " with a task mode"
	}
	return append(s.settleInit(asked, modes, described), asked.SettleRanks(s.Ranks, len(modes)-1, "bonds", described)...)
}

// settleInit fills the default in, where it does not depend on the ranks, and
// checks the start that is given.
func (s *Settings) settleInit(asked *setting.Asked, modes []string, described string) []setting.Fault {
	if s.Init == "" {
		if len(s.Ranks) == 0 { // else it is chosen for the ranks
			s.Init = defaultInit(modes, nil)
		}
		return nil
	}
	starts, err := parseStarts(s.Init)
	if err == nil && !asked.Saved {
		err = checkStarts(starts, len(modes), described)
	}
	if err != nil {
		return []setting.Fault{{Key: "init", Message: err.Error()}}
	}
	return nil
}

// adopted is what a saved tensor train decides; ranks that are all the same only where a
// rank for each bond was asked for.
func adopted(saved adapter.Config, asked any) any {
	s := asked.(Settings)
	s.Init, s.TaskAfter = saved.Init, ""
	if i := slices.Index(saved.Modes, modeTask); i > 0 {
		s.TaskAfter = saved.Modes[i-1]
	}
	if same := len(slices.Compact(slices.Clone(saved.Ranks))) < 2; same && len(s.Ranks) == 0 {
		return s
	}
	s.Ranks = make([]int, len(saved.Ranks))
	for i, rank := range saved.Ranks {
		s.Ranks[i] = int(rank)
	}
	return s
}
