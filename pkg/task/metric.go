package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Metric is one figure of an evaluation.
type Metric struct {
	Name      string // one of Task.Metrics
	Value     float64
	Undefined bool // a correlation with a constant; Value is then 0
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
