package fit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

// nativeFolders hold packages of this project that compile C++ against libtorch, in a
// module that has them: the project itself, not one that imports it. A file in each
// gives cgo the flags.
var nativeFolders = []string{"pkg/torch/native", "pkg/torch/profile"}

const nativeFlagsName = "libtorch_flags.go"

// nativeFlags is the file for a package of that name. That it tells libtorchs apart makes
// Go compile the package again for another.
func nativeFlags(name string, library libtorch.Library, record Record) string {
	return workspaceMarker + "\n\npackage " + name + "\n\n" +
		"// #cgo CXXFLAGS: " + quoteAll(append(compileFlags(library, "-O2"), record.macro())) + "\n" +
		"// #cgo LDFLAGS: " + quoteAll(linkFlags(library)) + "\n" +
		"import \"C\"\n"
}

// staleFlags are the files of flags that are not as they should be, with the text that
// they should have.
func (m Module) staleFlags(library libtorch.Library) (map[string]string, error) {
	record, err := newRecord(library)
	if err != nil {
		return nil, err
	}
	stale := map[string]string{}
	for _, folder := range nativeFolders {
		dir := filepath.Join(m.Dir, folder)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		path, want := filepath.Join(dir, nativeFlagsName), nativeFlags(filepath.Base(folder), library, record)
		have, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if string(have) != want {
			stale[path] = want
		}
	}
	return stale, nil
}

func (m Module) writeFlags(library libtorch.Library) error {
	stale, err := m.staleFlags(library)
	for path, text := range stale {
		err = errors.Join(err, writeFile(path, []byte(text)))
	}
	return err
}
