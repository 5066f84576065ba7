package experiment

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// Described is what runs would do that differ in their seeds alone, or, where they judge for a
// choice, in their rates too.
type Described struct {
	Runs    []*Run
	Plan    *run.Plan // nil: Err says why not
	Err     error
	Seconds float64 // that one of them takes; 0: not known
}

// Describe reads and checks all that the runs would, and estimates their time: from such
// runs that have ended, else from a few steps of one with the same model and data, made in
// a folder that is removed again.
func (p *Plan) Describe(ctx context.Context, o Options) ([]*Described, error) {
	if err := p.Refresh(); err != nil {
		return nil, err
	}
	d := &describer{plan: p, options: o, session: run.NewSession(), speeds: map[string]speed{}}
	defer d.session.Close()
	byID := map[string]*Described{}
	var all []*Described
	for _, r := range p.Runs {
		c, err := p.likely(r)
		if err != nil {
			return nil, err
		}
		alike := *c
		alike.Train.Seed = 0
		if r.Choosing { // rates change nothing of what is said
			alike.Train.LR, alike.Train.HeadLR = p.base.Train.LR, nil
		}
		id := fmt.Sprint(r.Choosing, identity(&alike))
		if byID[id] == nil {
			byID[id] = &Described{}
			all = append(all, byID[id])
			d.describe(ctx, byID[id], c)
		}
		byID[id].Runs = append(byID[id].Runs, r)
		if ctx.Err() != nil {
			return nil, train.ErrInterrupted
		}
	}
	for _, described := range all {
		described.learnTime()
	}
	return all, nil
}

// likely is the run's configuration, of one that waits for a choice with the first that
// may be chosen.
func (p *Plan) likely(r *Run) (*config.Config, error) {
	if r.Config != nil {
		return r.Config, nil
	}
	first := *r
	first.Settings = slices.Concat(r.Settings, r.group.choices[0])
	if err := p.resolve(&first); err != nil {
		return nil, err
	}
	return first.Config, nil
}

// learnTime takes the mean of those that have ended.
func (d *Described) learnTime() {
	total, count := 0.0, 0
	for _, r := range d.Runs {
		if r.Summary != nil {
			total, count = total+r.Summary.Seconds, count+1
		}
	}
	if count > 0 {
		d.Seconds = total / float64(count)
	}
}

// describer describes runs in one session.
type describer struct {
	plan    *Plan
	options Options
	session *run.Session
	speeds  map[string]speed // by what decides them
}

// speed is what a run's parts take.
type speed struct{ step, evaluation float64 } // seconds

func (d *describer) describe(ctx context.Context, into *Described, c *config.Config) {
	own := *c
	own.Run.Dir = ""
	into.Plan, into.Err = d.session.Describe(ctx, d.runOptions(&own, train.Silent{}))
	if into.Err != nil || ctx.Err() != nil {
		return
	}
	s := d.speed(ctx, c, reach(into.Plan))
	evaluations := 1
	if every := c.Train.EvalEvery; every.Epoch {
		evaluations = into.Plan.Epochs
	} else if every.Steps > 0 {
		evaluations = (into.Plan.Steps + every.Steps - 1) / every.Steps
	}
	into.Seconds = s.step*float64(into.Plan.Steps) + s.evaluation*float64(evaluations)
}

func (d *describer) runOptions(c *config.Config, o run.Observer) run.Options {
	if c.Threads == 0 {
		c.Threads = d.options.Threads
	}
	return run.Options{Config: c, GLUEDir: d.options.GLUEDir, Version: d.options.Version, Observer: o}
}

// The steps that are measured, and those before them that are not.
const measuredWarmup, measured = 3, 8

// reach says how far back gradients go, which a step's time depends on the most.
func reach(p *run.Plan) string {
	switch {
	case p.TrainsBackbone:
		return "backbone"
	case p.AdapterParams == 0:
		return "head"
	}
	return "adapter"
}

// speed measures what a step and an evaluation take, once for runs alike in what decides
// that the most. It is zero where such a short run cannot be made.
func (d *describer) speed(ctx context.Context, c *config.Config, reach string) speed {
	key := labelOf([]config.Setting{
		{Key: "model", Text: c.Model.Path + c.Model.DType + c.Device}, {Key: "data", Text: c.Data.Train + describeTasks(c)}, {Key: "reach", Text: reach},
	})
	key += identity(&config.Config{Data: config.Data{MaxLength: c.Data.MaxLength, Limit: c.Data.Limit, TrainLimit: c.Data.TrainLimit, LimitSeed: c.Data.LimitSeed}, Train: config.Train{BatchSize: c.Train.BatchSize, Accumulate: c.Train.Accumulate}})
	if s, known := d.speeds[key]; known {
		return s
	}
	dir, err := os.MkdirTemp("", "metatt-estimate-")
	if err != nil {
		return speed{}
	}
	defer os.RemoveAll(dir)
	short := *c
	short.Run.Dir = dir + "/run"
	short.Train.MaxSteps, short.Train.Patience = measuredWarmup+measured, 0
	short.Train.EvalEvery, short.Train.CheckpointEvery = config.Interval{Steps: measuredWarmup + measured}, config.Interval{}
	short.DMRG.Mode = "none"
	watch := &stopwatch{}
	if _, err := d.session.Train(ctx, d.runOptions(&short, watch)); err != nil {
		return speed{}
	}
	d.speeds[key] = watch.speed
	return watch.speed
}

func describeTasks(c *config.Config) (text string) {
	for _, name := range c.Tasks {
		text += "-" + name
	}
	return text
}

// stopwatch measures the steps of a short run, and its evaluation.
type stopwatch struct {
	train.Silent
	began time.Time
	speed speed
}

func (w *stopwatch) Step(s train.StepInfo) {
	switch s.Step {
	case measuredWarmup:
		w.began = time.Now()
	case measuredWarmup + measured:
		w.speed.step = time.Since(w.began).Seconds() / measured
	}
}

func (w *stopwatch) Eval(e train.EvalInfo) { w.speed.evaluation = e.Seconds }
