package fit

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Examples and the generator (of 90 MB) import nothing that others import.
var leftOut = map[string]bool{"example": true, "gen": true}

// The published go.mod asks for two image modules that only examples use.
// Without them a workspace needs no download and no checksum for them.
const adaptedGoMod = "module " + gotchPath + "\n\ngo 1.20\n"

// copyModule copies gotch from the module cache, where files are read-only,
// mending its Go sources on the way.
func copyModule(source, target string) error {
	return filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if leftOut[name] {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(target, name), 0o755)
		}
		if strings.HasSuffix(name, "_test.go") || name == "go.sum" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		content := string(text)
		if name == "go.mod" {
			content = adaptedGoMod
		}
		if content, err = applyRepairs(filepath.ToSlash(name), content); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, name), []byte(content), 0o644)
	})
}
