package experiment

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/metatt/metatt/pkg/config"
)

// Read reads an experiment's file. env is the environment that configurations are read
// with. All that is wrong with the file is reported together: the error is a
// [*config.Error].
func Read(path string, env func(string) (string, bool)) (*Experiment, error) {
	r := &reader{path: path}
	e := &Experiment{File: path, Jobs: 1, env: env}
	root, problem := config.Document(path)
	switch {
	case problem != nil:
		r.problems = append(r.problems, *problem)
	case root == nil:
		r.problems = append(r.problems, config.Problem{Where: path, Message: "is empty: an experiment has a base and a grid"})
	default:
		r.experiment(e, root)
	}
	if len(r.problems) > 0 {
		return nil, &config.Error{Problems: r.problems}
	}
	if e.Dir == "" {
		e.Dir = filepath.Join("runs", e.name())
	}
	return e, nil
}

func (r *reader) experiment(e *Experiment, root *yaml.Node) {
	r.section(root, "", map[string]func(*yaml.Node){
		"base":   func(n *yaml.Node) { e.Base = r.files(n) },
		"dir":    func(n *yaml.Node) { e.Dir = r.text(n, "dir") },
		"set":    func(n *yaml.Node) { e.Set = r.settings(n, "set") },
		"runs":   func(n *yaml.Node) { e.Runs = r.runs(n) },
		"grid":   func(n *yaml.Node) { e.Grid = r.values(n, "grid") },
		"random": func(n *yaml.Node) { e.Random = r.random(n) },
		"when":   func(n *yaml.Node) { e.When = r.cases(n) },
		"choose": func(n *yaml.Node) { e.Choose = r.choice(n) },
		"jobs":   func(n *yaml.Node) { e.Jobs = r.integer(n, "jobs", 1) },
		"slurm":  func(n *yaml.Node) { e.Slurm = r.slurm(n) },
	})
	r.checkVaried(e, root)
}

// checkVaried finds what would be varied in two places, or chosen without a choice.
func (r *reader) checkVaried(e *Experiment, root *yaml.Node) {
	place := map[string]string{}
	for _, part := range e.parts() {
		for _, v := range part.values {
			if other := place[v.Key]; other != "" && other != part.name {
				r.problems = append(r.problems, config.Problem{Where: v.Where, Key: v.Key, Message: "is varied by " + other + " too"})
			}
			place[v.Key] = part.name
		}
	}
	for i, c := range e.When {
		for _, v := range c.Choose {
			if other := place[v.Key]; other != "" && other != "choose" {
				r.problems = append(r.problems, config.Problem{Where: v.Where, Key: v.Key, Message: "is varied by " + other + " too"})
			}
		}
		if len(c.Choose) > 0 && e.Choose == nil {
			r.fail(root, "when", "case %d has values to choose from, but the file has no choose section", i+1)
		}
	}
	if e.Choose != nil {
		r.checkChoice(e, root)
	}
}

// judged are the keys that decide by what, and by which examples, a run is judged.
var judged = []string{"task", "train.best_metric", "data.dev", "data.glue", "data.kind", "data.label", "data.limit", "data.limit_seed"}

// checkChoice finds what would be given twice to the runs that judge, and what they could not be compared by.
func (r *reader) checkChoice(e *Experiment, root *yaml.Node) {
	c := e.Choose
	if len(c.Values) == 0 || len(c.On) == 0 {
		r.fail(root, "choose", "needs values to choose from, and on: what they are judged on, as {train.seed: [0]}")
	}
	fail := func(where, key, message string) {
		r.problems = append(r.problems, config.Problem{Where: where, Key: key, Message: message})
	}
	on, set := map[string]bool{}, map[string]bool{}
	for _, v := range c.On {
		on[v.Key] = true
	}
	const twice = "is given by choose twice: by its values, on or set"
	for _, s := range c.Set {
		if set[s.Key] = true; on[s.Key] {
			fail(s.Where, s.Key, twice)
		}
	}
	values := slices.Clone(c.Values)
	for _, of := range e.When {
		values = append(values, of.Choose...)
	}
	for _, v := range values {
		if on[v.Key] || set[v.Key] {
			fail(v.Where, v.Key, twice)
		}
		if slices.Contains(judged, v.Key) {
			fail(v.Where, v.Key, "cannot be chosen: its values are judged by different numbers or examples; grid varies it")
		}
	}
}

// files are the base's, from the experiment's own folder.
func (r *reader) files(n *yaml.Node) (paths []string) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, node := range nodes {
		path := r.text(node, "base")
		if path != "" && !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(r.path), path)
		}
		paths = append(paths, path)
	}
	return paths
}

func (r *reader) runs(n *yaml.Node) (runs [][]config.Setting) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.fail(n, "runs", "expected a list of settings, as - {adapter.method: lora, train.lr: 5e-4}")
		return nil
	}
	for _, settings := range n.Content {
		runs = append(runs, r.settings(settings, "runs"))
	}
	return runs
}

func (r *reader) random(n *yaml.Node) *Random {
	random := &Random{}
	r.section(n, "random", map[string]func(*yaml.Node){
		"trials": func(n *yaml.Node) { random.Trials = r.integer(n, "random.trials", 1) },
		"seed":   func(n *yaml.Node) { random.Seed = uint64(r.integer(n, "random.seed", 0)) },
		"values": func(n *yaml.Node) { random.Draws = r.draws(n) },
	})
	if random.Trials == 0 || len(random.Draws) == 0 {
		r.fail(n, "random", "needs trials, a number, and values, as {train.lr: {from: 1e-4, to: 1e-2, scale: log}}")
	}
	return random
}

func (r *reader) draws(n *yaml.Node) (draws []Draw) {
	r.entries(n, "random.values", func(name string, at, value *yaml.Node) {
		if value.Kind == yaml.SequenceNode {
			one := yaml.Node{Kind: yaml.MappingNode, Line: at.Line, Content: []*yaml.Node{at, value}}
			for _, v := range r.values(&one, "random.values") {
				draws = append(draws, Draw{Values: v})
			}
			return
		}
		key, known := r.key(name, at)
		if !known {
			return
		}
		d := Draw{Values: Values{Key: key.Name, Where: r.where(at)}, Integer: strings.HasPrefix(key.Type, "integer")}
		r.section(value, key.Name, map[string]func(*yaml.Node){
			"from": func(n *yaml.Node) { d.From = r.number(n, "from") },
			"to":   func(n *yaml.Node) { d.To = r.number(n, "to") },
			"scale": func(n *yaml.Node) {
				if d.Log = n.Value == "log"; !d.Log && n.Value != "linear" {
					r.fail(n, key.Name, "scale is linear or log")
				}
			},
		})
		_, number := strings.CutPrefix(key.Type, "number")
		switch {
		case !number && !d.Integer:
			r.fail(value, key.Name, "is no number: give a list to draw from")
		case d.To <= d.From || d.Log && d.From <= 0:
			r.fail(value, key.Name, "from %g to %g is no interval to draw from", d.From, d.To)
		default:
			for _, end := range []float64{d.From, d.To} {
				format := byte('g')
				if d.Integer {
					format = 'f' // not as 1e+06
				}
				if problem := key.Check(strconv.FormatFloat(end, format, -1, 64)); problem != "" {
					r.fail(value, key.Name, "%s", problem)
				}
			}
			draws = append(draws, d)
		}
	})
	return draws
}

func (r *reader) cases(n *yaml.Node) (cases []Case) {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "when", "expected a list of cases, as - {if: {adapter.method: lora}, set: {adapter.alpha: 16}}")
		return nil
	}
	for _, node := range n.Content {
		var c Case
		r.section(node, "when", map[string]func(*yaml.Node){
			"if":     func(n *yaml.Node) { c.If = r.conditions(n) },
			"set":    func(n *yaml.Node) { c.Set = r.settings(n, "set") },
			"choose": func(n *yaml.Node) { c.Choose = r.values(n, "choose") },
		})
		if len(c.If) == 0 || len(c.Set)+len(c.Choose) == 0 {
			r.fail(node, "when", "a case has an if, and a set or values to choose from")
		}
		cases = append(cases, c)
	}
	return cases
}

// conditions are keys with a value, or one of several, each.
func (r *reader) conditions(n *yaml.Node) (conditions []Values) {
	r.entries(n, "if", func(name string, at, value *yaml.Node) {
		key, known := r.key(name, at)
		if !known {
			return
		}
		nodes := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode && !key.IsList() {
			nodes = value.Content
		}
		v := Values{Key: key.Name, Where: r.where(at)}
		for _, node := range nodes {
			if text, ok := r.value(key, node); ok {
				v.Texts = append(v.Texts, text)
			}
		}
		conditions = append(conditions, v)
	})
	return conditions
}

func (r *reader) choice(n *yaml.Node) *Choice {
	c := &Choice{}
	r.section(n, "choose", map[string]func(*yaml.Node){
		"values": func(n *yaml.Node) { c.Values = r.values(n, "choose.values") },
		"on":     func(n *yaml.Node) { c.On = r.values(n, "choose.on") },
		"set":    func(n *yaml.Node) { c.Set = r.settings(n, "choose.set") },
	})
	return c
}

func (r *reader) slurm(n *yaml.Node) (s Slurm) {
	r.section(n, "slurm", map[string]func(*yaml.Node){
		"tasks": func(n *yaml.Node) { s.Tasks = r.integer(n, "slurm.tasks", 1) },
		"setup": func(n *yaml.Node) { s.Setup = r.text(n, "slurm.setup") },
		"options": func(n *yaml.Node) {
			r.entries(n, "slurm.options", func(name string, at, value *yaml.Node) {
				s.Options = append(s.Options, SlurmOption{name, r.text(value, "slurm.options."+name)})
			})
		},
	})
	return s
}
