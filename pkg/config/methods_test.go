package config

import (
	"github.com/metatt/metatt/pkg/adapter"
	_ "github.com/metatt/metatt/pkg/cp"
	_ "github.com/metatt/metatt/pkg/fact"
	_ "github.com/metatt/metatt/pkg/full"
	_ "github.com/metatt/metatt/pkg/head"
	_ "github.com/metatt/metatt/pkg/lora"
	_ "github.com/metatt/metatt/pkg/loretta"
	_ "github.com/metatt/metatt/pkg/lotr"
	_ "github.com/metatt/metatt/pkg/metatt"
	_ "github.com/metatt/metatt/pkg/ttlora"
)

// As a program does that reads configurations.
func init() {
	for _, m := range adapter.Methods() {
		Declare(m.Name, m.Settings)
	}
}
