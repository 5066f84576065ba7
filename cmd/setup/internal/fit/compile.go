package fit

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

// The two C++ sources of libtch; the first includes the second, so that one
// compilation covers both.
var wrapperSources = []string{"torch_api.cpp", "torch_api_generated.cpp.h"}

// A place is a line of one of the wrapper sources.
type place struct {
	file string
	line int
}

// diagnosis is what a compilation found wrong.
type diagnosis struct {
	places  []place // in the wrapper sources
	foreign string  // first error that leads to no line of them
}

func (d diagnosis) clean() bool { return len(d.places) == 0 && d.foreign == "" }

// checkSyntax compiles libtch's C++ in dir without generating code.
func checkSyntax(ctx context.Context, compiler []string, library libtorch.Library, dir string) (diagnosis, error) {
	arguments := append(compiler[1:len(compiler):len(compiler)], "-fsyntax-only")
	arguments = append(arguments, compileFlags(library, "-O0")...)
	command := exec.CommandContext(ctx, compiler[0], append(arguments, wrapperSources[0])...)
	command.Dir = dir
	command.Env = append(command.Environ(), "LC_ALL=C")
	output, err := command.CombinedOutput()
	found := parseDiagnostics(string(output))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return diagnosis{}, err
	}
	if err != nil && found.clean() {
		return diagnosis{}, fmt.Errorf("%s failed: %w", compiler[0], err)
	}
	return found, nil
}

var (
	diagnostic = regexp.MustCompile(`^(.+?):(\d+):(?:\d+:)?\s+(.*)$`)
	instance   = regexp.MustCompile(`^required (?:from|by)|^in expansion of macro|^note: in expansion of macro`)
)

// parseDiagnostics reads g++'s messages. An error in a header of libtorch is
// charged to the line of a wrapper that g++ names as its cause: before the error
// for a template ("required from here"), after it for a macro.
func parseDiagnostics(output string) diagnosis {
	var found diagnosis
	var causes []place // of the error to come
	pending := ""      // an error that no wrapper has been charged with yet
	settle := func() {
		if found.foreign == "" {
			found.foreign = pending
		}
		pending = ""
	}
	for line := range strings.Lines(output) {
		match := diagnostic.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if match == nil {
			continue
		}
		number, _ := strconv.Atoi(match[2])
		at := place{filepath.Base(match[1]), number}
		ours := at.file == wrapperSources[0] || at.file == wrapperSources[1]
		switch {
		case strings.HasPrefix(match[3], "error:") || strings.HasPrefix(match[3], "fatal error:"):
			settle()
			switch {
			case ours:
				found.places = append(found.places, at)
			case len(causes) > 0:
				found.places = append(found.places, causes...)
			default:
				pending = strings.TrimSpace(line)
			}
			causes = nil
		case ours && instance.MatchString(match[3]):
			if pending != "" {
				found.places = append(found.places, at)
				pending = ""
			} else {
				causes = append(causes, at)
			}
		}
	}
	settle()
	return found
}
