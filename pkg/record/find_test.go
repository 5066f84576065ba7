package record_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/record"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a/run-2", "a/run-1", "a/run-1/adapter/run-0", "b/c/run-3", ".hidden/run-4", "empty", "elsewhere"} {
		path := filepath.Join(root, dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(dir, "run-") {
			if err := os.WriteFile(filepath.Join(path, "config.yaml"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range [][2]string{{"b/c/run-3", "elsewhere/linked"}, {"..", "elsewhere/round"}} {
		if err := os.Symlink(filepath.Join(root, l[0]), filepath.Join(root, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	at := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(root, name))
		}
		return paths
	}
	for _, c := range []struct{ paths, want []string }{
		{at("a"), at("a/run-1", "a/run-2")},
		{at("a/run-2", "a", "a/run-2"), at("a/run-1", "a/run-2")},
		{at("elsewhere"), at("elsewhere/linked")},
		{at("b", "elsewhere", "a/run-1"), at("a/run-1", "b/c/run-3")},
		{at(""), at("a/run-1", "a/run-2", "b/c/run-3")},
	} {
		if got, err := record.Find(c.paths...); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v (%v), want %v", c.paths, got, err, c.want)
		}
	}
	for _, path := range at("empty", "none") {
		if _, err := record.Find(filepath.Join(root, "a"), path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
