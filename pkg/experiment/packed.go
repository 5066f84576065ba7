package experiment

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/metatt/metatt/pkg/config"
)

// packedFile describes packed experiments, in their folder.
const packedFile = "experiment.json"

// packed is experiment.json.
type packed struct {
	Experiments []*Experiment `json:"experiments"`
	Places      *Places       `json:"places"`
}

// Places say where a packed experiment has what configurations name. Paths are within
// its folder.
type Places struct {
	GLUE   string            `json:"glue,omitempty"`   // the folder of GLUE's files
	Models map[string]string `json:"models,omitempty"` // by model.path
	Files  map[string]string `json:"files,omitempty"`  // by data.train, data.dev, data.test

	root string
}

// of puts a configuration's places into the packed folder.
func (p *Places) of(c *config.Config) {
	if dir, has := p.Models[c.Model.Path]; has {
		c.Model.Path = filepath.Join(p.root, dir)
	}
	for _, file := range []*string{&c.Data.Train, &c.Data.Dev, &c.Data.Test} {
		if name, has := p.Files[*file]; has {
			*file = filepath.Join(p.root, name)
		}
	}
	if c.Data.GLUE = ""; p.GLUE != "" {
		c.Data.GLUE = filepath.Join(p.root, p.GLUE)
	}
}

// ReadPacked reads the experiments of a packed folder; their runs go into the folder's runs.
func ReadPacked(dir string) ([]*Experiment, *Places, error) {
	file := filepath.Join(dir, packedFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var p packed
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(p.Experiments) == 0 || slices.Contains(p.Experiments, nil) || p.Places == nil {
		return nil, nil, fmt.Errorf("%s: describes no packed experiment", file)
	}
	for _, e := range p.Experiments {
		for i, base := range e.Base {
			e.Base[i] = filepath.Join(dir, base)
		}
		e.Dir = filepath.Join(dir, "runs")
	}
	p.Places.root = dir
	return p.Experiments, p.Places, nil
}
