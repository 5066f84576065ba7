package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ready lists configs/<folder>/*.yaml.
func ready(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../../configs", folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", folder, files, err)
	}
	return files
}

// Every model, task and method go together; no two choices are the same run, and each key of each file counts
// somewhere.
func TestReadyOverlays(t *testing.T) {
	const base = "../../configs/base.yaml"
	models, tasks, methods := ready(t, "models"), ready(t, "tasks"), ready(t, "methods")
	for _, task := range schema().taskNames() {
		if glue := task != "sample" && task != "custom"; glue != slices.Contains(tasks, "../../configs/tasks/"+task+".yaml") {
			t.Errorf("%s has no overlay, or needs none", task)
		}
	}
	counted, seen := map[string]bool{}, map[string]string{}
	for _, model := range models {
		for _, task := range tasks {
			for _, method := range methods {
				files := []string{base, model, task, method}
				c, err := Load(files, nil, nil)
				if err != nil {
					t.Errorf("%v: %v", files, err)
					continue
				}
				for key, where := range c.where {
					file, _, _ := strings.Cut(where, ".yaml:")
					counted[file+".yaml "+key] = true
				}
				text, err := c.YAML()
				if err != nil {
					t.Fatal(err)
				}
				if other := seen[string(text)]; other != "" {
					t.Errorf("%v is the same as %s", files, other)
				}
				seen[string(text)] = strings.Join(files, " ")
				slices.Reverse(files[1:])
				if turned, err := Load(files, nil, nil); err != nil || !equal(c, turned) {
					t.Errorf("%v: the order of the overlays matters (%v)", files, err)
				}
			}
		}
	}
	for _, file := range slices.Concat([]string{base}, models, tasks, methods) {
		for key := range readFile(file).values {
			if !counted[file+" "+key] {
				t.Errorf("%s: %s is without effect", file, key)
			}
		}
	}
}
