package lora

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
)

// Settings are the keys of LoRA, rsLoRA, DoRA and VeRA.
type Settings struct {
	Dropout float64 `yaml:"dropout" default:"0" range:"[0,1)" after:"alpha" aka:"lora_dropout,vera_dropout" doc:"dropout of what the adapter reads, in training; for the LoRA family"`
}

var declared = setting.Declaration{Keys: Settings{}}

// AdaSettings are AdaLoRA's.
type AdaSettings struct {
	Settings
	Schedule Schedule `yaml:"adalora"`
}

// Schedule is how ranks that start above adapter.rank come down to it.
type Schedule struct {
	InitialRank int     `yaml:"initial_rank" default:"0" range:"[0,)" aka:"init_r" doc:"rank of every matrix at the start; 0: one and a half times adapter.rank, which is the mean rank in the end"`
	Hold        float64 `yaml:"hold" default:"0.1" range:"[0,1)" aka:"tinit" doc:"share of all steps before ranks begin to fall"`
	Settle      float64 `yaml:"settle" default:"0.3" range:"[0,1)" aka:"tfinal" doc:"share of all steps after they have fallen"`
	Every       int     `yaml:"every" default:"10" range:"[1,)" aka:"deltaT" doc:"steps between two choices of what stays"`
}

func adoptedDropout(saved adapter.Config, _ any) any { return Settings{saved.Dropout} }

func adoptedAdaDropout(saved adapter.Config, asked any) any {
	s := asked.(AdaSettings)
	s.Dropout = saved.Dropout
	return s
}
