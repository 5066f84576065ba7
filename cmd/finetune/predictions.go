package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"

	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
)

// predictionWriter writes predictions as TSV, with a column p(LABEL) a label, or
// as JSON lines. index counts the examples from 0.
type predictionWriter struct {
	out    io.Writer
	format own.Format
	task   task.Task
	index  int
	line   bytes.Buffer
}

func newPredictionWriter(out io.Writer, format own.Format, task task.Task) *predictionWriter {
	return &predictionWriter{out: out, format: format, task: task}
}

// finish writes the header of TSV where nothing else was written.
func (w *predictionWriter) finish() error {
	if w.index > 0 || w.format != own.TSV {
		return nil
	}
	w.header()
	return w.end()
}

func (w *predictionWriter) header() {
	w.line.WriteString("index\tprediction")
	for _, label := range w.task.Labels {
		w.line.WriteString("\tp(" + label + ")")
	}
}

func (w *predictionWriter) write(p predict.Prediction) error {
	index := strconv.Itoa(w.index)
	if w.format == own.TSV {
		if w.index == 0 {
			w.header()
			w.line.WriteByte('\n')
		}
		w.index++
		w.line.WriteString(index + "\t")
		if w.task.Regression {
			w.line.WriteString(shortest(p.Score))
		} else {
			w.line.WriteString(p.Label)
		}
		for _, probability := range p.Probabilities {
			w.line.WriteString("\t" + shortest(probability))
		}
		return w.end()
	}
	w.index++
	w.line.WriteString(`{"index":` + index + `,"prediction":`)
	if w.task.Regression {
		w.line.WriteString(shortest(p.Score) + "}")
		return w.end()
	}
	w.line.WriteString(quoted(p.Label) + `,"probabilities":{`)
	for i, probability := range p.Probabilities {
		if i > 0 {
			w.line.WriteByte(',')
		}
		w.line.WriteString(quoted(w.task.Labels[i]) + ":" + shortest(probability))
	}
	w.line.WriteString("}}")
	return w.end()
}

func (w *predictionWriter) end() error {
	w.line.WriteByte('\n')
	_, err := w.line.WriteTo(w.out)
	return err
}

// shortest writes what fp32 tells of a number.
func shortest(x float64) string { return strconv.FormatFloat(x, 'g', -1, 32) }

// quoted writes a JSON text; a string always has one.
func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}
