package tuned

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
)

// FindModel is the folder of a saved adapter's model: one that is named, or that
// the adapter recorded.
func FindModel(named string, saved *adapter.Saved) (string, error) {
	ref := cmp.Or(named, saved.Config.ModelRef())
	if ref == "" {
		return "", fmt.Errorf("%s names no model: --model FOLDER says what it is for", filepath.Join(saved.Dir, adapter.ConfigFile))
	}
	dir, err := hf.Resolve(ref)
	if err != nil && named == "" {
		err = fmt.Errorf("%s was trained on it: %w; --model FOLDER says where it is now", saved.Dir, err)
	}
	return dir, err
}

// Architecture is that of a saved adapter's model: what PEFT writes does not say
// it, the model's config.json does.
func Architecture(model string, saved *adapter.Saved) (adapter.Architecture, error) {
	if recorded := saved.Config.Architecture(); model == "" && recorded.Hidden > 0 {
		return recorded, nil
	}
	dir, err := FindModel(model, saved)
	if err != nil {
		return adapter.Architecture{}, err
	}
	m, err := hf.ReadConfig(dir)
	if err != nil {
		return adapter.Architecture{}, err
	}
	return encoder.ArchitectureOf(m), nil
}
