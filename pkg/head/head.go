// Package head is the lower end of every comparison: nothing but the
// classifier is trained.
package head

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/torch"
)

const name = "head"

func init() {
	adapter.Register(adapter.Method{
		Name:     name,
		Summary:  "the classifier alone; no adapter parameters",
		PEFTType: "HEAD",
		Settings: setting.Declaration{Idle: []string{"rank", "budget", "alpha", "targets"}},
		Count:    func(adapter.Spec) int64 { return 0 },
		New:      func(s adapter.Spec) (adapter.Adapter, error) { return none{s.Architecture}, nil },
		Open: func(s *adapter.Saved, _ torch.Device) (adapter.Adapter, error) {
			return none{s.Config.Architecture()}, nil
		},
	})
}

// none adapts no site.
type none struct{ model adapter.Architecture }

func (n none) Config() adapter.Config {
	c := adapter.Config{FormatVersion: adapter.FormatVersion, PEFTType: "HEAD", Method: name}
	c.SetArchitecture(n.model)
	return c
}
func (none) Parameters() []adapter.Parameter   { return nil }
func (n none) Begin(adapter.Step) adapter.Pass { return n }
func (none) Delta(adapter.Site) *torch.Tensor  { return nil }
func (none) Free()                             {}

func (none) ApplyJoined(_ int, _, frozen *torch.Tensor) *torch.Tensor { return frozen }

func (none) Apply(_ []adapter.Site, _ *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	return frozen
}
