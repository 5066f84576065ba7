package report_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/report"
)

// Runs that other programs, devices or files have made are told, and counted; a number of threads is not.
func TestMadeOtherwise(t *testing.T) {
	dir := t.TempDir()
	var dirs []string
	for seed, e := range []struct {
		commit, device, sum string
		threads             int
	}{{"a", "cpu", "1", 1}, {"a", "cpu", "1", 2}, {"b", "cpu", "1", 1}, {"b", "cuda:0", "2", 1}} {
		dirs = append(dirs, metatt(seed, 0.7).write(t, dir, fmt.Sprint(seed)))
		text := fmt.Sprintf(`{"version":"v1","started_at":"2026-01-02T03:04:05Z","device":%q,"build":{"commit":%q},"libtorch":{"threads":%d},
			"inputs":{"model":[{"name":"model.safetensors","sha256":%q}]}}`, e.device, e.commit, e.threads, e.sum)
		if err := os.WriteFile(filepath.Join(dirs[seed], "environment.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := report.Make(report.Options{Runs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	want := "made with something else than the first of the same tasks and model: device (1 run), model model.safetensors (1 run), program (2 runs)"
	if !slices.Contains(r.Notes, want) {
		t.Errorf("notes %q, want %q", r.Notes, want)
	}
	if r, err = report.Make(report.Options{Runs: dirs[:2]}); err != nil || slices.ContainsFunc(r.Notes, func(note string) bool { return strings.HasPrefix(note, "made with") }) {
		t.Errorf("notes %q of runs that differ in threads (%v)", r.Notes, err)
	}
}
