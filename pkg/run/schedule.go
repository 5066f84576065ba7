package run

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/train"
)

// plan turns the train section into the loop's constants.
func (a *assembly) plan() error {
	c := a.config.Train
	perEpoch := train.StepsPerEpoch(a.trainSet.Len(), c.BatchSize)
	steps := c.MaxSteps
	if steps == 0 {
		steps = c.Epochs * perEpoch
	}
	schedule, err := optim.NewSchedule(c.Schedule, c.LR, c.Warmup, steps)
	if err != nil {
		return invalid("train.schedule", err)
	}
	every := c.CheckpointEvery.Steps
	if c.CheckpointEvery.Epoch {
		every = perEpoch
	}
	best := c.BestMetric
	if best == "" {
		best = a.task.Best
	} else if !slices.Contains(a.task.Metrics, best) {
		return invalid("train.best_metric", fmt.Errorf("%s has the metrics %v, not %s", a.task.Name, a.task.Metrics, best))
	}
	a.options = train.Options{
		Steps: steps, BatchSize: c.BatchSize, EvalBatchSize: c.EvalBatchSize, Shuffle: a.config.Data.Shuffle,
		Seed: uint64(c.Seed), Schedule: schedule,
		AdamW:    optim.AdamWConfig{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay},
		ClipNorm: c.ClipNorm, CheckpointEvery: every, KeepCheckpoints: c.KeepCheckpoints, BestMetric: best,
	}
	return nil
}
