package task

import (
	"fmt"
	"math"
	"slices"
)

// Evaluate judges a model's logits, (examples, classes) row by row, by the
// task's metrics. A regression has one class, its logit the predicted score. Of
// equal logits the first class is predicted.
func (t Task) Evaluate(logits []float32, classes int, examples []Example) (Metrics, error) {
	if want := t.Outputs(); classes != want {
		return nil, fmt.Errorf("evaluate %s: %d logits an example, want %d", t.Name, classes, want)
	}
	if len(examples) == 0 {
		return nil, fmt.Errorf("evaluate %s: no examples", t.Name)
	}
	if len(logits) != len(examples)*classes {
		return nil, fmt.Errorf("evaluate %s: %d logits, want %d for %d examples", t.Name, len(logits), len(examples)*classes, len(examples))
	}
	for i, logit := range logits {
		if l := float64(logit); math.IsNaN(l) || math.IsInf(l, 0) {
			return nil, fmt.Errorf("evaluate %s: example %d (ID %s) has the logit %v", t.Name, i/classes, examples[i/classes].ID, logit)
		}
	}
	if t.Regression {
		return t.correlations(logits, examples)
	}
	return t.agreement(logits, examples)
}

// agreement judges a classification.
func (t Task) agreement(logits []float32, examples []Example) (Metrics, error) {
	classes := len(t.Labels)
	gold, predicted := make([]int, len(examples)), make([]int, len(examples))
	for i, example := range examples {
		if example.Label < 0 || example.Label >= classes {
			return nil, t.noGold(i, example)
		}
		gold[i] = example.Label
		predicted[i] = Class(logits[i*classes : (i+1)*classes])
	}
	counts := confusion(gold, predicted, classes)
	metrics := make(Metrics, len(t.Metrics))
	for i, name := range t.Metrics {
		metrics[i].Name = name
		switch name {
		case Accuracy:
			metrics[i].Value = accuracy(counts)
		case F1:
			positive := slices.Index(t.Labels, t.Positive)
			if positive < 0 {
				return nil, fmt.Errorf("evaluate %s: the F1 of %q, which is none of its labels", t.Name, t.Positive)
			}
			metrics[i].Value = f1(counts, positive)
		case MacroF1:
			metrics[i].Value = macroF1(counts)
		case Matthews:
			metrics[i].Value = matthews(counts)
		}
	}
	return metrics, nil
}

// correlations judges a regression.
func (t Task) correlations(logits []float32, examples []Example) (Metrics, error) {
	gold, predicted := make([]float64, len(examples)), make([]float64, len(examples))
	for i, example := range examples {
		if math.IsNaN(example.Score) {
			return nil, t.noGold(i, example)
		}
		gold[i], predicted[i] = example.Score, float64(logits[i])
	}
	metrics := make(Metrics, len(t.Metrics))
	for i, name := range t.Metrics {
		correlation := pearson
		if name == Spearman {
			correlation = spearman
		}
		value, defined := correlation(gold, predicted)
		metrics[i] = Metric{Name: name, Value: value, Undefined: !defined}
	}
	return metrics, nil
}

func (t Task) noGold(i int, example Example) error {
	return fmt.Errorf("evaluate %s: example %d (ID %s) has no gold label", t.Name, i, example.ID)
}

// OneClass is the label that all of several examples are predicted to have; false
// where they differ. A training rate that is too high ends so.
func (t Task) OneClass(logits []float32) (label string, one bool) {
	classes := len(t.Labels)
	if classes < 2 || len(logits) < 2*classes || len(logits)%classes != 0 {
		return "", false
	}
	class := Class(logits[:classes])
	for row := range slices.Chunk(logits, classes) {
		if Class(row) != class {
			return "", false
		}
	}
	return t.Labels[class], true
}

// Class is what an example's logits predict: the class of the greatest, of equals
// the first.
func Class(logits []float32) int {
	best := 0
	for i, logit := range logits {
		if logit > logits[best] {
			best = i
		}
	}
	return best
}
