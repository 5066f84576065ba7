package methods

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
)

// A configuration can be read once all methods, which this package imports, are
// registered.
func init() {
	for _, m := range adapter.Methods() {
		config.Declare(m.Name, m.Settings)
	}
}
