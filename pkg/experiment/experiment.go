// Package experiment makes many runs of one question: a base configuration and what
// is varied of it. A run directory that is there already counts where it is what is
// asked for, so that an experiment goes on where it was left, whatever ended it, and a
// changed one keeps what still holds.
package experiment

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/metatt/metatt/pkg/config"
)

// Experiment is a file of it.
//
// Of a key that several give, the last of these counts: base, environment, set, random,
// runs, grid, when, choose.
type Experiment struct {
	File   string
	Base   []string // configurations that lie over one another
	Dir    string   // folder of the run directories
	Set    []config.Setting
	Runs   [][]config.Setting // settings that go together, a list of them
	Grid   []Values           // every combination, the first key varying slowest
	Random *Random
	When   []Case
	Choose *Choice
	Jobs   int // processes at once on a machine
	Slurm  Slurm

	env func(string) (string, bool)
}

// Values are what a key takes.
type Values struct {
	Key   string
	Texts []string // as on the command line
	Where string
}

// Case is what runs get beside the rest whose settings are so.
type Case struct {
	If     []Values // of each key one of the values
	Set    []config.Setting
	Choose []Values // instead of those of [Choice]
}

// Choice is a first stage: for each combination but for the keys of On, which values are
// best by the dev set's main metric, its mean over On. The runs proper have them.
type Choice struct {
	Values []Values
	On     []Values // seeds, mostly, that the runs proper do not have
	Set    []config.Setting
}

// settings of one value of each.
func (v Values) setting(text string) config.Setting {
	return config.Setting{Key: v.Key, Text: text, Where: v.Where}
}

// combinations of one value of each key, the first varying slowest; one, empty, of none.
func combinations(all []Values) [][]config.Setting {
	combined := [][]config.Setting{nil}
	for _, v := range all {
		var longer [][]config.Setting
		for _, settings := range combined {
			for _, text := range v.Texts {
				longer = append(longer, append(settings[:len(settings):len(settings)], v.setting(text)))
			}
		}
		combined = longer
	}
	return combined
}

// Override puts key=value over what the file sets. What the file varies stays its own.
func (e *Experiment) Override(overrides []string) error {
	varied := map[string]string{}
	for _, part := range e.parts() {
		for _, v := range part.values {
			varied[v.Key] = v.Where
		}
	}
	for _, s := range e.ofSome() {
		if varied[s.Key] == "" {
			varied[s.Key] = s.Where
		}
	}
	wrong := &config.Error{}
	for _, text := range overrides {
		name, value, ok := strings.Cut(text, "=")
		problem := config.Problem{Where: "command line"}
		key, err := lookup(name)
		switch {
		case !ok:
			problem.Message = fmt.Sprintf("%q is not of the form key=value", text)
		case err != nil:
			problem.Key, problem.Message = name, err.Error()
		case varied[key.Name] != "":
			problem.Key, problem.Message = name, "is given at "+varied[key.Name]+": change it there"
		default:
			if problem.Key, problem.Message = name, key.Check(value); problem.Message == "" {
				e.Set = append(e.Set, config.Setting{Key: key.Name, Text: value, Where: "command line"})
				continue
			}
		}
		wrong.Problems = append(wrong.Problems, problem)
	}
	if len(wrong.Problems) > 0 {
		return wrong
	}
	return nil
}

// part is what one section of the file varies.
type part struct {
	name   string
	values []Values
}

func (e *Experiment) parts() []part {
	runs, random, choose := part{name: "runs"}, part{name: "random"}, part{name: "choose"}
	for _, settings := range e.Runs {
		for _, s := range settings {
			runs.values = append(runs.values, Values{Key: s.Key, Texts: []string{s.Text}, Where: s.Where})
		}
	}
	if e.Random != nil {
		for _, d := range e.Random.Draws {
			random.values = append(random.values, d.Values)
		}
	}
	if e.Choose != nil {
		choose.values = e.Choose.Values
	}
	return []part{random, runs, {"grid", e.Grid}, choose}
}

// ofSome are the settings that stand over set in some runs: those of cases, and of the runs that judge.
func (e *Experiment) ofSome() (settings []config.Setting) {
	var values []Values
	for _, c := range e.When {
		settings, values = append(settings, c.Set...), append(values, c.Choose...)
	}
	if e.Choose != nil {
		settings, values = append(settings, e.Choose.Set...), append(values, e.Choose.On...)
	}
	for _, v := range values {
		settings = append(settings, v.setting(""))
	}
	return settings
}

// name is the experiment's: its file's, without the ending.
func (e *Experiment) name() string {
	return strings.TrimSuffix(filepath.Base(e.File), filepath.Ext(e.File))
}
