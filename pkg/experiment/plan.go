package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/run"
)

// Run is one of an experiment's.
type Run struct {
	Name     string           // of its folder
	Dir      string           // where it is, or will be
	Choosing bool             // it is of the first stage
	Settings []config.Setting // what is varied, not what all have
	Config   *config.Config   // nil: what it is to have is not chosen yet
	State    State
	Failure  string       // why it failed the last time
	Summary  *run.Summary // of one that has ended

	damaged  bool   // it has ended, but its record cannot be read
	identity string // of Config
	group    *group
	only     []config.Setting // of runs that judge: choose.set
}

// group is the runs that share a choice.
type group struct {
	label   string
	key     string             // of the settings that they share
	choices [][]config.Setting // combinations of the values to choose from
	judges  [][]*Run           // the runs that judge each
	chosen  []config.Setting   // nil: not yet
	failed  string             // why there is no choice
}

// Plan is an experiment's runs, in the order of its file. Those that judge for a choice stand
// right before the first that waits for it, so that what was begun first ends first.
type Plan struct {
	*Experiment
	Runs  []*Run
	Notes []string // what of the file is left out, and what was chosen
	// Began is when the experiment was started, of which this process may be one of
	// several: what has failed since is not tried again, and what has failed before is
	// tried before anything is chosen without it. Zero: until [Plan.Execute], nothing is tried again.
	Began time.Time

	groups []*group
	base   *config.Config
	seen   map[string]*kept // run directories, by their place
	said   map[string]bool
	held   map[int]bool  // cases of when that some run has
	gaveUp map[*Run]bool // runs that failed in this process, whatever the file system's clock says
}

// Plans are those of several files, which are made one after the other.
type Plans []*Plan

// name is that of a folder of them all.
func (ps Plans) name() string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = p.Experiment.name()
	}
	return bounded(strings.Join(names, "-"))
}

// Refresh is [Plan.Refresh] of each.
func (ps Plans) Refresh() error {
	for _, p := range ps {
		if err := p.Refresh(); err != nil {
			return err
		}
	}
	return nil
}

// Plan resolves every run. All that is wrong is reported together, once for each place:
// the error is a [*config.Error].
func (e *Experiment) Plan() (*Plan, error) {
	p := &Plan{Experiment: e, seen: map[string]*kept{}, said: map[string]bool{}, held: map[int]bool{}, gaveUp: map[*Run]bool{}}
	var err error
	if p.base, err = config.LoadSettings(e.Base, nil, e.env); err != nil {
		// What is missing in the base alone may be set here.
		var faults error
		if p.base, faults = config.LoadSettings(e.Base, e.Set, e.env); faults != nil {
			return nil, faults
		}
	}
	known, same := map[string]bool{}, 0
	for _, settings := range e.settings(e.Grid) {
		settings = p.concerned(settings, settings)
		key := keyOf(settings)
		if known[key] {
			same++
			continue
		}
		known[key] = true
		r := &Run{Settings: settings}
		if e.Choose != nil {
			r.group = p.group(settings)
		}
		p.Runs = append(p.Runs, r)
	}
	wrong, told := &config.Error{}, map[config.Problem]bool{}
	for _, r := range p.Runs {
		if r.group != nil && !r.Choosing {
			p.cases(r.Settings) // which hold whatever is chosen
			continue            // until it is known what it has
		}
		if err := p.resolve(r); err != nil {
			var faults *config.Error
			if !errors.As(err, &faults) {
				return nil, err
			}
			for _, problem := range faults.Problems {
				if !told[problem] {
					told[problem], wrong.Problems = true, append(wrong.Problems, problem)
				}
			}
		}
	}
	if len(wrong.Problems) > 0 {
		return nil, wrong
	}
	switch {
	case same == 1:
		p.note("1 run is the same as another and is left out")
	case same > 1:
		p.note("%d runs are the same as others and are left out", same)
	}
	p.noteIdleCases()
	p.name()
	p.noteSame()
	return p, nil
}

// settings are those of each run that vary: what random draws, runs and grid say.
func (e *Experiment) settings(grid []Values) (all [][]config.Setting) {
	lists := e.Runs
	if len(lists) == 0 {
		lists = [][]config.Setting{nil}
	}
	for _, trial := range e.Random.trials() {
		for _, list := range lists {
			for _, cell := range combinations(grid) {
				all = append(all, slices.Concat(trial, list, cell))
			}
		}
	}
	return all
}

// group finds or makes the group of a run, and plans the runs of its choice; nil: its method
// looks at nothing that could be chosen.
func (p *Plan) group(settings []config.Setting) *group {
	var shared []config.Setting
	for _, s := range settings {
		if !slices.ContainsFunc(p.Choose.On, func(v Values) bool { return v.Key == s.Key }) {
			shared = append(shared, s)
		}
	}
	key := keyOf(shared)
	for _, g := range p.groups {
		if g.key == key {
			return g
		}
	}
	values := slices.Clone(p.Choose.Values)
	for _, c := range p.cases(shared) {
		for _, v := range c.Choose {
			if i := slices.IndexFunc(values, func(w Values) bool { return w.Key == v.Key }); i >= 0 {
				values[i] = v
			} else {
				values = append(values, v)
			}
		}
	}
	if values = p.concernedValues(values, shared); len(values) == 0 {
		return nil
	}
	g := &group{label: labelOf(shared), key: key, choices: combinations(values)}
	for _, choice := range g.choices {
		var judges []*Run
		for _, on := range combinations(p.Choose.On) {
			judges = append(judges, &Run{Choosing: true, group: g, Settings: slices.Concat(shared, on, choice), only: p.Choose.Set})
		}
		g.judges = append(g.judges, judges)
		p.Runs = append(p.Runs, judges...)
	}
	p.groups = append(p.groups, g)
	return g
}

// cases are those of when that hold for a run with these settings.
func (p *Plan) cases(settings []config.Setting) (hold []Case) {
	settings = slices.Concat(p.Set, settings)
	for i, c := range p.When {
		if !slices.ContainsFunc(c.If, func(v Values) bool { return !p.has(settings, v) }) {
			hold = append(hold, c)
			p.held[i] = true
		}
	}
	return hold
}

// has reports whether the settings, or the base where they leave a key, have one of the
// values.
func (p *Plan) has(settings []config.Setting, v Values) bool {
	key, _ := config.Lookup(v.Key)
	return slices.ContainsFunc(v.Texts, func(text string) bool {
		if mine, set := lastOf(settings, v.Key); set {
			return key.Same(mine, text)
		}
		return key.Has(p.base, text)
	})
}

func lastOf(settings []config.Setting, key string) (text string, set bool) {
	for _, s := range settings {
		if s.Key == key {
			text, set = s.Text, true
		}
	}
	return text, set
}

// concerned is what of the settings the method of a run looks at. What the file gives to
// all runs is left out of those that have no use for it, and noted; what it gives to one
// is not.
func (p *Plan) concerned(settings, ofRun []config.Setting) (ours []config.Setting) {
	method, set := lastOf(slices.Concat(p.Set, ofRun), "adapter.method")
	if !set {
		method = p.base.Adapter.Method
	}
	for _, s := range settings {
		if key, _ := config.Lookup(s.Key); key.Concerns(method) || p.inList(s) {
			ours = append(ours, s)
		} else {
			p.note("%s: %s is not for %s: left out of its runs", s.Where, s.Key, method)
		}
	}
	return ours
}

// concernedValues is concerned for what is chosen from.
func (p *Plan) concernedValues(values []Values, ofRun []config.Setting) (ours []Values) {
	if slices.ContainsFunc(values, func(v Values) bool { return v.Key == "adapter.method" }) {
		return values // which method it is, the choice says
	}
	for _, v := range values {
		if len(p.concerned([]config.Setting{v.setting("")}, ofRun)) > 0 {
			ours = append(ours, v)
		}
	}
	return ours
}

// resolve makes a run's configuration.
func (p *Plan) resolve(r *Run) error {
	own := r.Settings
	if r.group != nil && !r.Choosing {
		own = slices.Concat(r.Settings, r.group.chosen)
	}
	ours := slices.Concat(p.concerned(p.Set, own), own)
	for _, c := range p.cases(own) {
		for _, s := range c.Set {
			// What is chosen stands over what the case says.
			if r.group == nil || !chosen(r, s.Key) {
				ours = append(ours, s)
			}
		}
	}
	c, err := config.LoadSettings(p.Base, append(ours, r.only...), p.env)
	if err != nil {
		return err
	}
	r.Config, r.identity = c, identity(c)
	return nil
}

// inList: the setting is of an entry of runs, which is one run's own.
func (p *Plan) inList(s config.Setting) bool {
	return slices.ContainsFunc(p.Experiment.Runs, func(list []config.Setting) bool { return slices.Contains(list, s) })
}

// chosen: the key is among those that the run's group chooses.
func chosen(r *Run, key string) bool {
	return slices.ContainsFunc(r.group.choices[0], func(s config.Setting) bool { return s.Key == key })
}

func (p *Plan) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !p.said[text] {
		p.said[text] = true
		p.Notes = append(p.Notes, text)
	}
}

// noteSame says which runs are one, whatever the file calls them.
func (p *Plan) noteSame() {
	first := map[string]*Run{}
	for _, r := range p.Runs {
		switch other := first[r.identity]; {
		case r.Config == nil:
		case other != nil:
			p.note("%s is the same run as %s", r.Name, other.Name)
		default:
			first[r.identity] = r
		}
	}
}

// noteIdleCases says which cases hold for no run: what they ask for may be misspelt.
func (p *Plan) noteIdleCases() {
	for i, c := range p.When {
		if !p.held[i] {
			p.note("%s: holds for no run", c.If[0].Where)
		}
	}
}
