package glue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Metric is one figure of an evaluation.
type Metric struct {
	Name      string // one of Task.Metrics
	Value     float64
	Undefined bool // a correlation with a constant; Value is then 0
}

// Better says that m is greater than other. What is undefined is better than
// nothing, so of equals the first remains.
func (m Metric) Better(other Metric) bool {
	return !m.Undefined && (other.Undefined || m.Value > other.Value)
}

// Metrics are an evaluation's figures in the order of Task.Metrics.
type Metrics []Metric

// Get finds a metric by its name.
func (m Metrics) Get(name string) (Metric, bool) {
	i := slices.IndexFunc(m, func(metric Metric) bool { return metric.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return m[i], true
}

// MarshalJSON writes an object in the order of the metrics, null for one that
// is undefined.
func (m Metrics) MarshalJSON() ([]byte, error) {
	var object bytes.Buffer
	object.WriteByte('{')
	for i, metric := range m {
		if i > 0 {
			object.WriteByte(',')
		}
		name, err := json.Marshal(metric.Name)
		if err != nil {
			return nil, err
		}
		object.Write(name)
		object.WriteByte(':')
		if metric.Undefined {
			object.WriteString("null")
			continue
		}
		value, err := json.Marshal(metric.Value)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", metric.Name, err)
		}
		object.Write(value)
	}
	object.WriteByte('}')
	return object.Bytes(), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (m *Metrics) UnmarshalJSON(text []byte) error {
	*m = nil
	decoder := json.NewDecoder(bytes.NewReader(text))
	switch open, err := decoder.Token(); {
	case err != nil:
		return err
	case open == nil:
		return nil
	case open != json.Delim('{'):
		return fmt.Errorf("metrics: found %v, want an object", open)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var value *float64
		if err := decoder.Decode(&value); err != nil {
			return fmt.Errorf("metric %v: %w", name, err)
		}
		metric := Metric{Name: fmt.Sprint(name), Undefined: value == nil}
		if value != nil {
			metric.Value = *value
		}
		*m = append(*m, metric)
	}
	return nil
}

// Evaluate judges a model's logits, (examples, classes) row by row, by the
// task's metrics. A regression has one class, its logit the predicted score. Of
// equal logits the first class is predicted.
func (t Task) Evaluate(logits []float32, classes int, examples []Example) (Metrics, error) {
	if want := max(len(t.Labels), 1); classes != want {
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
		predicted[i] = argmax(logits[i*classes : (i+1)*classes])
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
	class := argmax(logits[:classes])
	for row := range slices.Chunk(logits, classes) {
		if argmax(row) != class {
			return "", false
		}
	}
	return t.Labels[class], true
}

// argmax is the index of the greatest value, the first of equals.
func argmax(values []float32) int {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}
