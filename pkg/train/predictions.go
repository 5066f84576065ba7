package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/task"
)

// PredictionsFile, in adapter/best, has a line for each dev example of each task, in
// their order, where Options.Predictions asks for it.
const PredictionsFile = "predictions.jsonl"

// Prediction is what the best adapter makes of a dev example.
type Prediction struct {
	Task      string `json:"task"`
	ID        string `json:"id"`                  // as in task.Example
	Label     string `json:"label,omitempty"`     // the right one of a classification
	Predicted string `json:"predicted,omitempty"` // label of a classification
	// Of a regression: the right score and the predicted one.
	Score          *float64 `json:"score,omitempty"`
	PredictedScore *float32 `json:"predicted_score,omitempty"`
}

// Right: the label is the right one. It says nothing of a regression.
func (p Prediction) Right() bool { return p.Label == p.Predicted }

// writePredictions writes what logits, (examples, outputs) of each task's dev set, predict.
func writePredictions(path string, tasks []Task, logits [][]float32) error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	for k, t := range tasks {
		outputs := t.Dev.Outputs()
		for i, example := range t.Dev.Examples {
			row := logits[k][i*outputs : (i+1)*outputs]
			p := Prediction{Task: t.Name, ID: example.ID}
			if t.Dev.Task.Regression {
				p.Score, p.PredictedScore = &example.Score, &row[0]
			} else {
				p.Label, p.Predicted = t.Dev.Task.Labels[example.Label], t.Dev.Task.Labels[task.Class(row)]
			}
			if err := lines.Encode(p); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}

// saveBest makes dir a folder of the adapter as it is, with its predictions where they
// are to be kept: both at once, so that they are always of one step.
func (t *Trainer) saveBest(dir string, logits [][]float32) error {
	if !t.Options.Predictions {
		return t.SaveAdapter(dir)
	}
	return folder.Replace(dir, func(partial string) error {
		if err := t.SaveAdapter(partial); err != nil {
			return err
		}
		return writePredictions(filepath.Join(partial, PredictionsFile), t.Tasks, logits)
	})
}

// ReadPredictions reads a file of kept predictions. One that is missing is an error
// that wraps [fs.ErrNotExist].
func ReadPredictions(path string) ([]Prediction, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var predictions []Prediction
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, largestEvent)
	for line := 1; lines.Scan(); line++ {
		var p Prediction
		err := json.Unmarshal(lines.Bytes(), &p)
		if err == nil && p.Task == "" {
			err = errors.New("a prediction names its task")
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		predictions = append(predictions, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return predictions, nil
}
