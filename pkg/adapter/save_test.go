package adapter_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

// Whoever reads a folder while another adapter takes the place of its own finds
// weights and configuration of one of them, as after a crash at that moment.
func TestSaveReplacesBothAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "adapter")
	save := func(rank int64) {
		err := torch.Do(func() error {
			return adapter.Save(dir, adapter.Config{Ranks: []int64{rank}}, []adapter.Parameter{
				{Name: "core", Tensor: torch.Zeros(torch.Float32, torch.CPU, rank)}})
		})
		if err != nil {
			t.Error(err)
		}
	}
	save(1)
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		for n := range int64(100) {
			save(n%2 + 1)
		}
	}()
	for done := false; !done; {
		select {
		case <-saved:
			done = true
		default:
		}
		readPair(t, dir)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// readPair reads both files of what is one folder throughout.
func readPair(t *testing.T, dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	text, err := root.ReadFile(adapter.ConfigFile)
	weights, err2 := root.ReadFile(adapter.WeightsFile)
	if os.IsNotExist(err) || os.IsNotExist(err2) {
		return // the folder has been removed since it was opened
	}
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	var config adapter.Config
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(copied, weights, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, _ := f.Info("core"); !slices.Equal(info.Shape, config.Ranks) {
		t.Fatalf("weights of rank %v beside a configuration of %v", info.Shape, config.Ranks)
	}
}
