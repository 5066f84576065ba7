package experiment

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/record"
)

// BenchmarkShortRuns is what 20 runs of 20 steps each in one process, MetaTT-4D and LoRA
// on MiniLM and MRPC, spend outside steps and evaluations. Run it with -benchtime 1x on a
// quiet machine.
func BenchmarkShortRuns(b *testing.B) {
	model, err := hf.Resolve("minilm")
	glue := os.Getenv("GLUE_DIR")
	if err != nil || glue == "" {
		b.Skip("needs minilm (finetune fetch minilm) and GLUE_DIR")
	}
	const runs, allowed = 20, 0.05
	for b.Loop() {
		dir := b.TempDir()
		base, file := filepath.Join(dir, "base.yaml"), filepath.Join(dir, "short.yaml")
		text := fmt.Sprintf("task: mrpc\nmodel: {path: %s, dtype: auto}\ndata: {glue: %s}\ntrain: {max_steps: 20}\n", model, glue)
		if err := os.WriteFile(base, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		text = fmt.Sprintf("base: base.yaml\ndir: %s/runs\ngrid: {adapter.method: [metatt4d, lora], train.seed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}\n", dir)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		e, err := Read(file, nil)
		if err != nil {
			b.Fatal(err)
		}
		p, err := e.Plan()
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := p.Execute(b.Context(), Options{}); err != nil {
			b.Fatal(err)
		}
		whole := time.Since(began).Seconds()
		steps, evaluations, ended := 0.0, 0.0, 0
		for _, r := range p.Runs {
			kept, err := record.Read(r.Dir)
			if err != nil {
				b.Fatal(err)
			}
			for _, t := range kept.Timings {
				steps, evaluations = steps+t.Seconds, evaluations+t.EvalSeconds
			}
			if r.State == Ended {
				ended++
			}
		}
		if ended != runs {
			b.Fatalf("%d runs have ended", ended)
		}
		outside := (whole - steps - evaluations) / whole
		b.ReportMetric(whole/runs, "s/run")
		b.ReportMetric(steps/runs, "s-in-steps/run")
		b.ReportMetric(evaluations/runs, "s-in-evaluations/run")
		b.ReportMetric(100*outside, "%-outside")
		if outside > allowed {
			b.Logf("%.1f %% outside steps and evaluations, allowed %.0f %%", 100*outside, 100*allowed)
		}
	}
}
