package run_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
)

// A folder whose scale is gone, or says two things, is refused: its update would be none, or not what it was.
func TestScaleOfASavedAdapter(t *testing.T) {
	for _, m := range adapter.Methods() {
		if slices.Contains(m.Settings.Idle, "alpha") {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			o := tiny(t, "adapter.method="+m.Name, "adapter.rank=2", "train.max_steps=1")
			if _, err := run.Train(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(o.Config.Run.Dir, "adapter", "last", adapter.ConfigFile)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			changes := map[string]func(map[string]any) bool{
				"alpha is missing, or 0": func(c map[string]any) bool { delete(c, "alpha"); return true },
			}
			for key, ours := range map[string]string{"lora_alpha": "alpha", "lora_dropout": "dropout", "vera_dropout": "dropout"} {
				changes[key+" is 0.25, and "+ours] = func(c map[string]any) bool {
					_, has := c[key]
					c[key] = 0.25
					return has
				}
			}
			for want, change := range changes {
				var c map[string]any
				if err := json.Unmarshal(text, &c); err != nil {
					t.Fatal(err)
				}
				if !change(c) {
					continue
				}
				edited, err := json.Marshal(c)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, edited, 0o644); err != nil {
					t.Fatal(err)
				}
				p, err := predict.Open(filepath.Dir(file), predict.Options{})
				if err == nil {
					p.Close()
				}
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want %q", err, want)
				}
			}
		})
	}
}
