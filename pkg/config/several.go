package config

import (
	"fmt"
	"slices"
	"strings"
)

// checkSeveral looks for what is for several tasks where there is one, and the other way round.
func (c *Config) checkSeveral() (problems []Problem) {
	for i := range schema().keys {
		if key := &schema().keys[i]; key.task != "" && c.where[key.Name] != "" && !slices.Contains(c.Tasks, key.task) {
			problems = append(problems, c.problem(key.Name, "is for task %s; %s", key.task, c.Tasks.clause()))
		}
	}
	several := len(c.Tasks) > 1
	if several && c.Adapter.Append.To != "" {
		problems = append(problems, c.problem("adapter.append.to", "appends one task to a saved adapter; %s", c.Tasks.clause()))
	}
	if !several && c.Train.Mixture != bySize {
		problems = append(problems, c.problem("train.mixture", "is for a run of several tasks; %s", c.Tasks.clause()))
	}
	return append(problems, c.settleBest()...)
}

const bestMetric = "train.best_metric"

// metrics are those that tasks have; which of them one has is said where tasks are known.
var metrics = []string{"accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman"}

// settleBest checks train.best_metric: a metric, or of several tasks TASK or TASK.METRIC, written as task is.
func (c *Config) settleBest() []Problem {
	best, message := &c.Train.BestMetric, ""
	switch task, metric, dotted := strings.Cut(*best, "."); {
	case *best == "":
	case len(c.Tasks) == 1:
		message = checkWord(*best, metrics)
	case !slices.Contains(c.Tasks, taskName(task)):
		message = fmt.Sprintf("%s is of no task of the run; write TASK or TASK.METRIC: %s", quote(*best), c.Tasks.clause())
	case dotted:
		*best, message = taskName(task)+"."+metric, checkWord(metric, metrics)
	default:
		*best = taskName(task)
	}
	if message == "" {
		return nil
	}
	return []Problem{c.problem(bestMetric, "%s", message)}
}
