// Package inspect looks into a saved adapter: its parameters, the spectra of its
// bonds and the size of its updates.
package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
	"github.com/metatt/metatt/pkg/tuned"
)

// Inspection is what a saved adapter holds. Of its model nothing but the
// configuration is read, and that only for an adapter that PEFT wrote.
type Inspection struct {
	Dir        string         `json:"dir"`
	Task       string         `json:"task"`          // that Deltas are of; empty: of all, or none is known
	Run        string         `json:"run,omitempty"` // the run directory that it stands in
	Seed       *int           `json:"seed,omitempty"`
	Config     adapter.Config `json:"config"`
	Parameters []Tensor       `json:"parameters"` // the adapter's, of frozen tasks too
	Count      int64          `json:"count"`      // of their elements
	Modes      []adapter.Mode `json:"modes,omitempty"`
	// Spectra is the singular values of each bond of a tensor train, falling, α
	// included: at every bond Σ s² is Σ ‖ΔW‖² over all sites and tasks.
	Spectra [][]float64 `json:"spectra,omitempty"`
	// Deltas is ‖ΔW‖ of each layer's targets, in Config's order, 0 of one that is
	// not adapted; nil where the adapter is no update of weights that stands for itself.
	Deltas [][]float64 `json:"deltas,omitempty"`
	Notes  []string    `json:"notes,omitempty"` // on what is in the folder and not as it may seem
}

// Tensor is one parameter's name, shape and Frobenius norm.
type Tensor struct {
	Name  string  `json:"name"`
	Shape []int64 `json:"shape"`
	Norm  float64 `json:"norm"`
}

// Options say what is looked at. Empty fields are the defaults.
type Options struct {
	Dir   string // adapter folder, or a run directory, of which the best adapter is taken
	Task  string // that ‖ΔW‖ is of; by default the last
	Model string // folder or name, for an adapter that PEFT wrote; by default what it recorded
}

// Adapter reads a saved adapter.
func Adapter(o Options) (*Inspection, error) {
	dir, err := place.Adapter(o.Dir)
	if err != nil {
		return nil, err
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	index := max(0, len(saved.Config.Tasks)-1) // of an adapter with frozen tasks, the one that can be trained further
	if o.Task != "" {
		if index, err = tuned.ChooseTask(saved, o.Task); err != nil {
			return nil, err
		}
	}
	architecture, err := tuned.Architecture(o.Model, saved)
	if err != nil {
		return nil, err
	}
	a, err := saved.Open(architecture, torch.CPU)
	if err != nil {
		return nil, err
	}
	defer a.Free()
	i := &Inspection{Dir: dir, Config: saved.Config, Notes: saved.Notes()}
	if len(saved.Config.Tasks) == 1 || len(saved.Config.Tasks) > 1 && slices.Contains(saved.Config.Modes, adapter.TaskMode) {
		i.Task = saved.Config.Tasks[index]
	}
	if err := i.findRun(); err != nil {
		return nil, err
	}
	return i, torch.Do(func() error {
		var err error
		torch.NoGrad(func() { err = i.measure(a, adapter.ForTask(a, index)) })
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		return nil
	})
}

// findRun looks for the run directory that dir is adapter/… of.
func (i *Inspection) findRun() error {
	run := filepath.Dir(filepath.Dir(i.Dir))
	if filepath.Base(filepath.Dir(i.Dir)) != "adapter" || !place.IsRun(run) {
		return nil
	}
	c, err := config.Load([]string{filepath.Join(run, place.ConfigFile)}, nil, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	i.Run, i.Seed = run, &c.Train.Seed
	return nil
}

// measure is told of the adapter, and of it as the task sees it.
func (i *Inspection) measure(a, ofTask adapter.Adapter) error {
	if _, trains := a.(adapter.BackboneTrainer); trains {
		return fmt.Errorf("%s holds weights of the model itself, which only a comparison with the model would tell of", i.Config.Method)
	}
	parameters := a.Parameters()
	if len(adapter.FrozenTasks(a)) > 0 {
		parameters = adapter.State(a)
	}
	for _, p := range parameters {
		i.Parameters = append(i.Parameters, Tensor{p.Name, p.Tensor.Shape(), p.Tensor.Norm().Item()})
	}
	i.Count = adapter.Count(parameters)
	if t, ok := a.(adapter.TensorTrain); ok {
		cores, err := tt.New(t.Cores()...)
		if err != nil {
			return err
		}
		for k, n := range cores.Dims() {
			i.Modes = append(i.Modes, adapter.Mode{Name: i.Config.Modes[k], Size: n})
		}
		// In fp64, so that small singular values are not rounding.
		if i.Spectra, err = cores.To(torch.Float64).Scale(i.Config.Alpha).Spectra(); err != nil {
			return err
		}
	}
	if _, bound := a.(adapter.Bound); bound || adapter.CheckMergeable(a) != nil || len(i.Config.Targets) == 0 {
		return nil
	}
	model := i.Config.Architecture()
	targets, err := adapter.ParseKinds(i.Config.Targets)
	if err != nil {
		return err
	}
	for layer := range model.Layers {
		norms := make([]float64, len(targets))
		for k, kind := range targets {
			torch.Scoped(func() {
				if delta := ofTask.Delta(model.Site(layer, kind)); delta != nil {
					norms[k] = delta.Norm().Item()
				}
			})
		}
		i.Deltas = append(i.Deltas, norms)
	}
	return nil
}
