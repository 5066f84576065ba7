package experiment

import (
	"path/filepath"
	"testing"

	"github.com/metatt/metatt/pkg/config"
)

// Every experiment that the project has is read, and each of its runs has a configuration.
func TestExperimentsOfTheProject(t *testing.T) {
	files, err := filepath.Glob("../../experiments/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	study, err := filepath.Glob("../../experiments/glue-minilm/*.yaml")
	if err != nil || len(files) == 0 || len(study) < 2 {
		t.Fatal(len(files), len(study), err)
	}
	for _, file := range append(files, study...) {
		if filepath.Base(file) == "common.yaml" { // a configuration that the others lie over
			if _, err := config.Load([]string{file}, nil, nil); err != nil {
				t.Error(err)
			}
			continue
		}
		e, err := Read(file, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		p, err := e.Plan()
		if err != nil {
			t.Error(err)
			continue
		}
		for _, note := range p.Notes { // of what is left out, or holds for no run
			t.Errorf("%s: %s", file, note)
		}
		for _, r := range p.Runs {
			if _, err := p.likely(r); err != nil {
				t.Errorf("%s: %s: %v", file, r.Name, err)
			}
		}
	}
}
