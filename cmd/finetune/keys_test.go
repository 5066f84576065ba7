package main

import (
	"os"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/config"
)

// docs/config.md is of the schema as it is.
func TestDocumentedKeys(t *testing.T) {
	got := command(t, t.Context(), backend{}, 0, nil, "validate", "--markdown")
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("%+v", got)
	}
	want, err := os.ReadFile("../../docs/config.md")
	if err != nil || got.stdout != string(want) {
		t.Errorf("docs/config.md is not what the schema says (%v): make docs", err)
	}
	for _, key := range config.Keys() {
		if strings.Count(got.stdout, "\n| `"+key.Name+"` | ") != 1 {
			t.Errorf("%s does not stand there once", key.Name)
		}
	}
	for _, line := range strings.Split(got.stdout, "\n") {
		if cells := strings.Count(line, "|") - strings.Count(line, `\|`); strings.HasPrefix(line, "|") && cells != 5 {
			t.Errorf("%d bars in %s", cells, line)
		}
	}
}
