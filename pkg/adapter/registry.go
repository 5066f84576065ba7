package adapter

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/torch"
)

// Spec asks for a fresh adapter.
type Spec struct {
	Architecture Architecture
	Targets      []Kind // in order; not empty
	Rank         int
	Tasks        []string // of a task mode, in order; nil: no such mode
	Alpha        float64
	Settings     any    // what the method declares, of the type of its Settings.Keys; nil: as they come
	Seed         uint64 // of the random parts of the start
	Device       torch.Device
}

// TaskSettings are settings of a method that can have a task mode.
type TaskSettings interface {
	TaskMode() bool // one is asked for
}

// SettingsOf are the method's own settings in a spec, the zero value where there
// are none. Those of another method are an error.
func SettingsOf[T any](spec Spec) (settings T, err error) {
	if spec.Settings == nil {
		return settings, nil
	}
	settings, ok := spec.Settings.(T)
	if !ok {
		err = fmt.Errorf("settings are %T, the method's are %T", spec.Settings, settings)
	}
	return settings, err
}

// Method is one way of parameterising weight updates.
type Method struct {
	Name    string // as configs name it
	Summary string // one line: modes, parameter formula, source
	// PEFTType and Modes are what adapter_config.json says of it.
	PEFTType string
	Modes    []string
	// DefaultAlpha is the scale where none is asked for; 0: 1.
	DefaultAlpha float64
	// Settings declares the method's keys under adapter: names, defaults, limits,
	// help, and the check of those that depend on others.
	Settings setting.Declaration
	// Adopted is the settings that were asked for with those in their place that a
	// saved adapter decides; nil: it decides none.
	Adopted func(saved Config, asked any) any
	// Count is the number of trained parameters by the method's formula, without
	// a tensor being made; nil where none is stated.
	Count func(Spec) int64
	// Sized is a spec at a size that a parameter budget moves, of Settings.Size;
	// nil: its Rank.
	Sized func(spec Spec, size int) Spec
	// New makes a fresh adapter: ΔW = 0 at every site. It checks the spec
	// before it makes a tensor.
	New func(Spec) (Adapter, error)
	// Open makes the adapter that was saved.
	Open func(*Saved, torch.Device) (Adapter, error)
	// Append makes the adapter that was saved with one task more; how has been
	// checked. nil: the method has no task mode.
	Append func(saved *Saved, how Appending, device torch.Device) (Adapter, error)
	// Adopt completes the Config of an adapter of that PEFTType that PEFT wrote:
	// ranks, α, dropout, targets, number of layers. False: it is another
	// method's. nil: PEFT does not know the method.
	Adopt func(*Saved) (bool, error)
}

// Alpha is the scale where none is asked for.
func (m Method) Alpha() float64 {
	if m.DefaultAlpha == 0 {
		return 1
	}
	return m.DefaultAlpha
}

var methods = map[string]Method{}

// Register adds a method. A name that is taken is a mistake in the program.
func Register(m Method) {
	if _, taken := methods[m.Name]; taken {
		panic("adapter: method " + m.Name + " registered twice")
	}
	methods[m.Name] = m
}

// Methods lists what is registered, by name.
func Methods() []Method {
	list := make([]Method, 0, len(methods))
	for _, m := range methods {
		list = append(list, m)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// ErrMethod: the method is not in this build.
var ErrMethod = errors.New("unknown adapter method")

// Lookup finds a method by its name.
func Lookup(name string) (Method, error) {
	if m, ok := methods[name]; ok {
		return m, nil
	}
	var names []string
	for _, m := range Methods() {
		names = append(names, m.Name)
	}
	return Method{}, fmt.Errorf("%w %q: this build has %s", ErrMethod, name, strings.Join(names, ", "))
}
