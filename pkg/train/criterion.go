package train

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
)

// Criterion is what evaluations are compared by for the best one: the mean of a metric
// of each of some tasks. Of equal ones the earlier is best; an undefined one is worst.
type Criterion struct {
	Name string // as it is recorded
	Of   []TaskMetric
}

// TaskMetric is a metric of a task.
type TaskMetric struct {
	Task   int // among the run's
	Metric string
}

// NewCriterion reads train.best_metric for those tasks: of one task a metric, of several
// TASK for its main metric or TASK.METRIC; empty: the mean of all main metrics.
func NewCriterion(text string, tasks []Task) (Criterion, error) {
	if text == "" {
		c := Criterion{Name: "mean"}
		for i, task := range tasks {
			c.Of = append(c.Of, TaskMetric{i, task.Dev.Task.Best})
		}
		if len(tasks) == 1 {
			c.Name = c.Of[0].Metric
		}
		return c, nil
	}
	c := Criterion{Name: text, Of: []TaskMetric{{0, text}}}
	if len(tasks) > 1 {
		name, metric, _ := strings.Cut(text, ".")
		c.Of[0] = TaskMetric{-1, metric}
		for i, task := range tasks {
			if adapter.SameTask(task.Name, name) {
				c.Of[0].Task = i
				if metric == "" {
					c.Of[0].Metric = task.Dev.Task.Best
				}
				c.Name = task.Name + "." + c.Of[0].Metric
			}
		}
	}
	return c, c.check(tasks)
}

// check says what is wrong with a criterion for those tasks, if anything is.
func (c Criterion) check(tasks []Task) error {
	if len(c.Of) == 0 {
		return fmt.Errorf("no metric to choose the best evaluation by")
	}
	for _, of := range c.Of {
		if of.Task < 0 || of.Task >= len(tasks) {
			return fmt.Errorf("%s is of no task of the run", c.Name)
		}
		if metrics := tasks[of.Task].Dev.Task.Metrics; !slices.Contains(metrics, of.Metric) {
			return fmt.Errorf("%s has the metrics %v, not %s", tasks[of.Task].Name, metrics, of.Metric)
		}
	}
	return nil
}

// of is the criterion's value; nil where it is undefined.
func (c Criterion) of(found []TaskEval) *float64 {
	var sum float64
	for _, of := range c.Of {
		metric, ok := found[of.Task].Metrics.Get(of.Metric)
		if !ok || metric.Undefined {
			return nil
		}
		sum += metric.Value
	}
	mean := sum / float64(len(c.Of))
	return &mean
}
