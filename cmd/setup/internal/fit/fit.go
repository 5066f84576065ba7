package fit

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

// Result tells what Fit found or did.
type Result struct {
	UpToDate    bool
	Unavailable []string // C++ functions of gotch that are run-time errors with this libtorch
}

// Lock keeps other runs out of the module until the returned function is called.
func (m Module) Lock() (unlock func(), err error) {
	dir, err := os.Open(m.Dir)
	if err != nil {
		return nil, err
	}
	// Some network file systems lock no folders: there two runs at once are the user's risk.
	_ = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
	return func() { dir.Close() }, nil
}

// State tells whether the module's copy of gotch, go.work and the flags of native
// packages are as Fit would leave them, changing nothing.
func (m Module) State(library libtorch.Library) (Result, error) {
	state, err := m.copyState(library)
	if err != nil {
		return Result{}, err
	}
	stale, err := m.staleFlags(library)
	state.UpToDate = state.UpToDate && len(stale) == 0
	return state, err
}

// copyState is State without the flags.
func (m Module) copyState(library libtorch.Library) (Result, error) {
	if err := checkPath(library.Root); err != nil {
		return Result{}, err
	}
	current, err := m.workspace()
	if err != nil {
		return Result{}, err
	}
	wanted, err := newRecord(library)
	if err != nil {
		return Result{}, err
	}
	have, ok := readRecord(filepath.Join(m.Dir, copyDir))
	return Result{
		UpToDate:    current && ok && have.Template == wanted.Template && have.sameLibrary(wanted),
		Unavailable: have.Unavailable,
	}, nil
}

// Fit adapts gotch to the library in the module's .gotch folder, writes go.work and
// gives native packages their flags, unless all are up to date. The folder is made
// complete under another name first, so that half-finished work is never used. What
// takes long is announced to notes.
func (m Module) Fit(ctx context.Context, library libtorch.Library, notes io.Writer) (Result, error) {
	state, err := m.copyState(library)
	if err != nil {
		return Result{}, err
	}
	if err := m.writeFlags(library); err != nil {
		return Result{}, err
	}
	if state.UpToDate {
		return state, nil
	}
	source, err := m.download(ctx)
	if err != nil {
		return Result{}, err
	}
	return m.fitFrom(ctx, library, source, notes)
}

// fitFrom is Fit with gotch's published source in a folder.
func (m Module) fitFrom(ctx context.Context, library libtorch.Library, source string, notes io.Writer) (Result, error) {
	final := filepath.Join(m.Dir, copyDir)
	unfinished := final + "-unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(unfinished)
	if err := copyModule(source, unfinished); err != nil {
		return Result{}, err
	}
	record, err := newRecord(library)
	if err != nil {
		return Result{}, err
	}
	previous, _ := readRecord(final)
	expected := expectedUnavailable(library, record, previous)
	if expected == nil {
		fmt.Fprintf(notes, "compiling gotch once to find out what libtorch %s lacks, about half a minute\n", library.Version)
	}
	if record.Unavailable, err = m.adapt(ctx, library, record, unfinished, expected); err != nil {
		return Result{}, err
	}
	if err := record.write(unfinished); err != nil {
		return Result{}, err
	}
	if err := os.RemoveAll(final); err != nil {
		return Result{}, err
	}
	if err := os.Rename(unfinished, final); err != nil {
		return Result{}, err
	}
	return Result{Unavailable: record.Unavailable}, m.writeWorkspace()
}

// expectedUnavailable are the functions known to be unavailable; nil where nothing is known.
func expectedUnavailable(library libtorch.Library, wanted, previous Record) []string {
	if known, ok := knownUnavailable[library.Release()]; ok {
		return known
	}
	if previous.sameLibrary(wanted) {
		return previous.Unavailable
	}
	return nil
}

// adapt changes the copy of gotch in dir and returns the functions that became
// run-time errors. Where expected is nil they are found by compiling.
func (m Module) adapt(ctx context.Context, library libtorch.Library, record Record, dir string, expected []string) ([]string, error) {
	libtch := filepath.Join(dir, "libtch")
	if err := os.WriteFile(filepath.Join(libtch, "lib.go"), []byte(cgoFile(library, record)), 0o644); err != nil {
		return nil, err
	}
	sources, err := readSources(libtch)
	if err != nil {
		return nil, err
	}
	for name, text := range sources {
		sources[name] = dropIncludes(text, func(header string) bool { return hasHeader(library, header) })
	}
	if expected != nil {
		if err := disableIn(sources, expected, library.Release()); err != nil {
			return nil, err
		}
		return expected, writeSources(libtch, sources)
	}
	return m.findUnavailable(ctx, library, libtch, sources)
}

// Errors in declarations can hide further ones, so that it takes some rounds;
// more than this means that disabling does not help.
const maxRounds = 6

func (m Module) findUnavailable(ctx context.Context, library libtorch.Library, dir string, sources map[string]string) ([]string, error) {
	unavailable := []string{}
	for range maxRounds {
		if err := writeSources(dir, sources); err != nil {
			return nil, err
		}
		found, err := checkSyntax(ctx, m.Compiler, library, dir)
		if err != nil {
			return nil, err
		}
		if found.clean() {
			slices.Sort(unavailable)
			return unavailable, nil
		}
		broken := functionsAt(sources, found.places)
		disabledBefore := func(name string) bool { return slices.Contains(unavailable, name) }
		if len(broken) == 0 || slices.ContainsFunc(broken, disabledBefore) {
			return nil, fmt.Errorf("gotch %s cannot be adapted to libtorch %s: %s", gotchVersion, library.Version, found.first())
		}
		if err := disableIn(sources, broken, library.Release()); err != nil {
			return nil, err
		}
		unavailable = append(unavailable, broken...)
	}
	return nil, fmt.Errorf("gotch %s cannot be adapted to libtorch %s: new errors after disabling %d functions in %d rounds", gotchVersion, library.Version, len(unavailable), maxRounds)
}

func (d diagnosis) first() string {
	if d.foreign != "" {
		return d.foreign
	}
	return fmt.Sprintf("%s:%d does not compile, and disabling a function does not help", d.places[0].file, d.places[0].line)
}

// functionsAt are the names of the functions that the places lie in.
func functionsAt(sources map[string]string, places []place) []string {
	var names []string
	for _, file := range wrapperSources {
		for _, f := range functionsOf(strings.Split(sources[file], "\n")) {
			if slices.ContainsFunc(places, func(p place) bool { return p.file == file && f.start <= p.line && p.line <= f.end }) {
				names = append(names, f.name)
			}
		}
	}
	return names
}

func disableIn(sources map[string]string, names []string, release string) error {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	total := 0
	for file, text := range sources {
		changed, found := disable(text, set, release)
		sources[file] = changed
		total += found
	}
	if total != len(names) {
		return fmt.Errorf("%d of the %d functions to disable are not in gotch %s", len(names)-total, len(names), gotchVersion)
	}
	return nil
}

func hasHeader(library libtorch.Library, header string) bool {
	return slices.ContainsFunc(library.IncludeDirs(), func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, header))
		return err == nil
	})
}

func readSources(dir string) (map[string]string, error) {
	sources := make(map[string]string, len(wrapperSources))
	for _, name := range wrapperSources {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		sources[name] = string(text)
	}
	return sources, nil
}

func writeSources(dir string, sources map[string]string) error {
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
