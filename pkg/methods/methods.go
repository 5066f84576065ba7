// Package methods brings all adapter methods: each registers itself. Who opens an
// adapter by its name imports this room, and of a method nobody else needs any.
package methods

import (
	_ "github.com/metatt/metatt/pkg/cp"
	_ "github.com/metatt/metatt/pkg/fact"
	_ "github.com/metatt/metatt/pkg/full"
	_ "github.com/metatt/metatt/pkg/head"
	_ "github.com/metatt/metatt/pkg/lora"
	_ "github.com/metatt/metatt/pkg/loretta"
	_ "github.com/metatt/metatt/pkg/lotr"
	_ "github.com/metatt/metatt/pkg/metatt"
	_ "github.com/metatt/metatt/pkg/tenslora"
	_ "github.com/metatt/metatt/pkg/ttlora"
)
