// Package fit adapts gotch to a libtorch: a copy of the module, changed so that
// it compiles and links against that libtorch, and a go.work that uses it.
package fit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The one release of gotch that this tool knows how to adapt, with its checksum
// in go.sum.
const (
	gotchPath    = "github.com/sugarme/gotch"
	gotchVersion = "v0.9.1"
	gotchSum     = "h1:J6JCE1C2AfPmM1xk0p46LdzWtfNvbvZZnWdkj9v54jo="
)

// Module is the Go module that gotch is adapted for.
type Module struct {
	Dir      string   // absolute
	Go       string   // its go directive
	Compiler []string // the C++ compiler that cgo uses, with arguments
}

// OpenModule reads the module in dir, or around the current folder if dir is empty.
func OpenModule(ctx context.Context, dir string) (Module, error) {
	var env struct{ GOMOD, GOOS, GOARCH, CGO_ENABLED, CXX string }
	if err := goJSON(ctx, dir, &env, "env", "-json", "GOMOD", "GOOS", "GOARCH", "CGO_ENABLED", "CXX"); err != nil {
		return Module{}, err
	}
	if env.GOOS != "linux" || env.GOARCH != "amd64" {
		return Module{}, fmt.Errorf("only linux/amd64 is supported, not %s/%s", env.GOOS, env.GOARCH)
	}
	found, err := moduleDir(dir, env.GOMOD)
	if err != nil {
		return Module{}, err
	}
	var mod goMod
	if err := goJSON(ctx, found, &mod, "mod", "edit", "-json"); err != nil {
		return Module{}, err
	}
	if err := mod.check(found); err != nil {
		return Module{}, err
	}
	module := Module{Dir: found, Go: mod.Go, Compiler: strings.Fields(env.CXX)}
	if module.Go == "" {
		module.Go = "1.20" // gotch's own
	}
	if len(module.Compiler) == 0 {
		module.Compiler = []string{"g++"}
	}
	if _, err := exec.LookPath(module.Compiler[0]); err != nil {
		return Module{}, fmt.Errorf("the C++ compiler %s is missing: apt-get install g++", module.Compiler[0])
	}
	if env.CGO_ENABLED != "1" {
		return Module{}, fmt.Errorf("cgo is switched off, libtorch cannot be used without it: go env -w CGO_ENABLED=1 (or unset CGO_ENABLED)")
	}
	return module, nil
}

// moduleDir is the folder of the module to prepare. A folder that was asked for
// by name must hold go.mod itself; one inside a module would be a slip.
func moduleDir(asked, gomod string) (string, error) {
	inside := gomod != "" && filepath.Base(gomod) == "go.mod"
	if asked == "" {
		if !inside {
			return "", fmt.Errorf("no go.mod in this folder or above: run it inside a module or name one with --module DIR")
		}
		return filepath.Dir(gomod), nil
	}
	dir, err := filepath.Abs(asked)
	if err != nil {
		return "", err
	}
	if inside {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil && resolved == filepath.Dir(gomod) {
			return resolved, nil
		}
		if dir == filepath.Dir(gomod) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s has no go.mod: go mod init NAME makes one", dir)
}

// goMod is what `go mod edit -json` tells and matters here.
type goMod struct {
	Module  struct{ Path string }
	Go      string
	Require []struct{ Path, Version string }
}

func (m goMod) check(dir string) error {
	index := slices.IndexFunc(m.Require, func(r struct{ Path, Version string }) bool { return r.Path == gotchPath })
	if index < 0 {
		return fmt.Errorf("%s does not require %s: run `go get github.com/metatt/metatt` (or `go get %s@%s`) there first",
			filepath.Join(dir, "go.mod"), gotchPath, gotchPath, gotchVersion)
	}
	if version := m.Require[index].Version; version != gotchVersion {
		return fmt.Errorf("%s requires %s %s; only %s can be adapted: run `go get %s@%s` there",
			filepath.Join(dir, "go.mod"), gotchPath, version, gotchVersion, gotchPath, gotchVersion)
	}
	return nil
}

// download returns the folder of gotch in the module cache.
func (m Module) download(ctx context.Context) (string, error) {
	var module struct{ Dir, Sum, Error string }
	err := goJSON(ctx, m.Dir, &module, "mod", "download", "-json", gotchPath+"@"+gotchVersion)
	switch {
	case module.Error != "":
		return "", fmt.Errorf("%s %s cannot be downloaded: %s", gotchPath, gotchVersion, module.Error)
	case err != nil:
		return "", err
	case module.Sum != gotchSum:
		return "", fmt.Errorf("%s %s has the checksum %s, not %s: it is not the published release", gotchPath, gotchVersion, module.Sum, gotchSum)
	}
	return module.Dir, nil
}

// goJSON runs the go command in dir, outside of any workspace, and decodes what
// it prints. On failure the answer is still decoded if there is one.
func goJSON(ctx context.Context, dir string, answer any, arguments ...string) error {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = dir
	command.Env = append(command.Environ(), "GOWORK=off")
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	runErr := command.Run()
	decodeErr := json.Unmarshal(stdout.Bytes(), answer)
	if runErr != nil {
		message := strings.TrimSpace(stderr.String())
		if message == "" {
			message = runErr.Error()
		}
		return fmt.Errorf("go %s: %s", strings.Join(arguments, " "), strings.ReplaceAll(message, "\n", "; "))
	}
	return decodeErr
}
