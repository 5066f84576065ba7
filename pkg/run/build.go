package run

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// Build is what this program was made of.
type Build struct {
	Commit   string `json:"commit,omitempty"`   // of the checkout; empty: it was built outside one
	Modified bool   `json:"modified,omitempty"` // the checkout had changes that are in no commit
	Go       string `json:"go"`
	Gotch    string `json:"gotch,omitempty"` // version of the module that set-up fitted
	// Executable is the SHA-256 of the program's file: the same program whatever the checkout held.
	Executable string `json:"executable_sha256,omitempty"`
}

// gotchModule is the module of libtorch's bindings.
const gotchModule = "github.com/sugarme/gotch"

// ReadBuild is the running program's.
func ReadBuild() Build { return readBuild() }

var readBuild = sync.OnceValue(func() Build {
	b := Build{Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, module := range info.Deps {
		if module.Path == gotchModule {
			b.Gotch = module.Version
		}
	}
	if path, err := os.Executable(); err == nil {
		if sum, err := sums().Of(context.Background(), path); err == nil {
			b.Executable = sum.SHA256
		}
	}
	return b
})
