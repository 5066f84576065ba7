package lora

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
)

// Settings are the keys of LoRA, rsLoRA, DoRA and VeRA.
type Settings struct {
	Dropout float64 `yaml:"dropout" default:"0" range:"[0,1)" after:"alpha" aka:"lora_dropout,vera_dropout" doc:"dropout of what the adapter reads, in training; for the LoRA family"`
}

var declared = setting.Declaration{Keys: Settings{}, Training: []string{"dropout"}}

// AdaSettings are AdaLoRA's.
type AdaSettings struct {
	Settings
	Schedule Schedule `yaml:"adalora"`
}

var adaDeclared = setting.Declaration{
	Keys: AdaSettings{}, Training: []string{"dropout", "adalora.hold", "adalora.settle", "adalora.every"}, Settle: settleAda,
}

// settleAda: a budget moves the rank that is aimed at, and the initial one with it.
func settleAda(asked *setting.Asked) []setting.Fault {
	if s := asked.Settings.(*AdaSettings); asked.Budget > 0 && s.Schedule.InitialRank != 0 && !asked.Saved {
		return []setting.Fault{{Key: "adalora.initial_rank", Message: fmt.Sprintf("%d stands beside adapter.budget, which moves the initial rank too: set it to 0, for 1.5 times the rank", s.Schedule.InitialRank)}}
	}
	return nil
}

// Schedule is how ranks that start above adapter.rank come down to it.
type Schedule struct {
	InitialRank int     `yaml:"initial_rank" default:"0" range:"[0,)" aka:"init_r" doc:"rank of every matrix at the start; 0: one and a half times adapter.rank, which is the mean rank in the end"`
	Hold        float64 `yaml:"hold" default:"0.1" range:"[0,1)" aka:"tinit" doc:"share of all steps before ranks begin to fall"`
	Settle      float64 `yaml:"settle" default:"0.3" range:"[0,1)" aka:"tfinal" doc:"share of all steps after they have fallen"`
	Every       int     `yaml:"every" default:"10" range:"[1,)" aka:"deltaT" doc:"steps between two choices of what stays"`
}

func adoptedDropout(saved adapter.Config, _ any) any { return Settings{saved.Dropout} }

// adoptedSchedule is a saved AdaLoRA's; the rank at the start only where it is not what its rank
// makes of 0. Keys that are no schedule say so when the adapter is opened.
func adoptedSchedule(saved adapter.Config, asked any) any {
	s := asked.(AdaSettings)
	s.Dropout = saved.Dropout
	var a adaLoRA
	if err := a.readSchedule(saved.PEFT); err != nil {
		return s
	}
	s.Schedule = a.schedule
	if a.initial == defaultInitialRank(a.rank) && asked.(AdaSettings).Schedule.InitialRank == 0 {
		s.Schedule.InitialRank = 0
	}
	return s
}

// Tune implements [adapter.Tunable].
func (a *adapted[E]) Tune(settings any) error {
	s, ok := settings.(Settings)
	if !ok {
		return fmt.Errorf("%s: settings are %T", a.method, settings)
	}
	a.dropout = s.Dropout
	return nil
}

// Tune implements [adapter.Tunable].
func (a *adaLoRA) Tune(settings any) error {
	s, ok := settings.(AdaSettings)
	if !ok {
		return fmt.Errorf("%s: settings are %T", a.method, settings)
	}
	if err := s.Schedule.check(); err != nil {
		return err
	}
	s.Schedule.InitialRank = int(a.initial)
	a.schedule = s.Schedule
	return a.adapted.Tune(s.Settings)
}

// check: there are steps for ranks to fall.
func (s Schedule) check() error {
	if !(s.Hold >= 0 && s.Settle >= 0 && s.Hold+s.Settle < 1) {
		return fmt.Errorf("adalora: hold %g and settle %g leave no steps for ranks to fall: their sum must be below 1", s.Hold, s.Settle)
	}
	return nil
}
