// Package convert makes other files of an adapter: the merged model, a LoRA as PEFT
// stores it, and a folder of what microsoft/LoRA stores.
package convert

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/tuned"
)

// MergeOptions say what is merged. Empty fields are the defaults.
type MergeOptions struct {
	Dir   string       // adapter folder, or a run directory, of which the best adapter is taken
	Out   string       // folder to make; it must not exist yet
	Task  string       // of an adapter for several; by default the only one, or none
	Model string       // folder or name; by default what the adapter recorded
	Note  func(string) // is told what the user should know; nil: nobody is
}

// Merge adds a saved adapter's updates to the weights of its model, in fp32 from
// the checkpoint's own, and writes the model with the adapter's head and its
// tokenizer, as transformers stores them. The classes of an adapter that names no
// task keep the names that they have in the model, or numbers. When ctx ends before
// the folder is there, the error is [train.ErrInterrupted] and there is none.
func Merge(ctx context.Context, o MergeOptions) error {
	if err := folder.CheckNew(o.Out); err != nil {
		return err
	}
	m, err := tuned.Open(o.Dir, tuned.Options{Model: o.Model, Task: o.Task, Taskless: true, Note: o.Note})
	if err != nil {
		return err
	}
	defer m.Free()
	if m.Task.Name == "" && o.Note != nil { // whose classes are the model's
		for _, text := range m.Encoder.Config().Notes() {
			o.Note(filepath.Join(m.ModelDir, "config.json") + ": " + text)
		}
	}
	if ctx.Err() != nil {
		return train.ErrInterrupted
	}
	if err := merge(m); err != nil {
		return fmt.Errorf("%s: %w", m.Dir, err)
	}
	return folder.Make(o.Out, func(dir string) error {
		if err := m.Encoder.Save(dir); err != nil {
			return err
		}
		if err := hf.CopyTokenizer(dir, m.ModelDir); err != nil || ctx.Err() == nil {
			return err
		}
		return train.ErrInterrupted
	})
}

// merge changes the model's weights: the adapter is in them, and not to be used any more.
func merge(m *tuned.Model) error {
	config := m.Encoder.Config()
	switch {
	case m.Task.Name == "":
	case m.Task.Regression:
		config.ProblemType = "regression"
	default:
		config.ProblemType, config.ID2Label = "single_label_classification", m.Task.Labels
	}
	return torch.Do(func() error {
		merged, err := adapter.Merge(m.Adapter, m.Encoder.Architecture(), m.Encoder)
		if err != nil {
			return err
		}
		merged.Free()
		return nil
	})
}
