package tenslora

import (
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/adapter/setting"
)

func settle(asked *setting.Asked) []setting.Fault {
	return asked.SettleRanks(asked.Settings.(*factored.ModeRankSettings).Ranks, len(modes), "modes", asked.Method)
}

// adopted is the ranks that a saved adapter decides; those that its largest one
// stands for only where a rank for each mode was asked for.
func adopted(saved adapter.Config, asked any) any {
	s := asked.(factored.ModeRankSettings)
	if len(s.Ranks) == 0 && byDefault(saved) {
		return s
	}
	s.Ranks = make([]int, len(saved.Ranks))
	for i, rank := range saved.Ranks {
		s.Ranks[i] = int(rank)
	}
	return s
}

// byDefault: the ranks are what one rank would have made.
func byDefault(saved adapter.Config) bool {
	targets, err := adapter.ParseKinds(saved.Targets)
	if err != nil || len(saved.Ranks) != len(modes) {
		return false
	}
	f, err := plan(factored.Settings{Architecture: saved.Architecture(), Targets: targets, Rank: slices.Max(saved.Ranks)})
	return err == nil && slices.Equal(f.(form).ranks, saved.Ranks)
}
