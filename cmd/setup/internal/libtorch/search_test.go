package libtorch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
)

// scene is a machine made up for a search: no variable set, no Python, no driver.
type scene struct {
	Search
	notes  strings.Builder
	env    map[string]string
	python string // python3 on PATH, none if empty
	driver bool
}

func newScene(t *testing.T) *scene {
	s := &scene{env: map[string]string{}}
	s.Search = Search{
		ModuleDir: t.TempDir(),
		Getenv:    func(name string) string { return s.env[name] },
		LookPath: func(string) (string, error) {
			if s.python == "" {
				return "", exec.ErrNotFound
			}
			return s.python, nil
		},
		HasDriver: func() bool { return s.driver },
		Notes:     &s.notes,
	}
	return s
}

// fakePython writes a program that stands in for a Python and returns its path.
func fakePython(t *testing.T, path, script string) string {
	t.Helper()
	faketorch.Write(t, path, "#!/bin/sh\n"+script+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindOrder(t *testing.T) {
	site := t.TempDir()
	named := faketorch.Build(t, filepath.Join(site, "named"), faketorch.Options{})
	virtual := faketorch.Build(t, filepath.Join(site, "virtual"), faketorch.Options{})
	conda := faketorch.Build(t, filepath.Join(site, "conda"), faketorch.Options{})
	system := faketorch.Build(t, filepath.Join(site, "system"), faketorch.Options{})

	s := newScene(t)
	s.env["LIBTORCH"] = named
	s.env["VIRTUAL_ENV"] = filepath.Join(site, "venv")
	s.env["CONDA_PREFIX"] = filepath.Join(site, "miniconda")
	fakePython(t, filepath.Join(site, "venv/bin/python"), "echo '"+virtual+"'")
	fakePython(t, filepath.Join(site, "miniconda/bin/python"), "echo '"+conda+"'")
	s.python = fakePython(t, filepath.Join(site, "python3"), "echo '"+system+"'")

	for _, step := range []struct{ root, why, drop string }{
		{named, "LIBTORCH is set", "LIBTORCH"},
		{virtual, "$VIRTUAL_ENV", "VIRTUAL_ENV"},
		{conda, "$CONDA_PREFIX", "CONDA_PREFIX"},
		{system, "python3 on PATH", ""},
	} {
		choice, err := s.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if choice.Root != step.root || !strings.Contains(choice.Why, step.why) {
			t.Errorf("Find = %s because %q, want %s because of %s", choice.Root, choice.Why, step.root, step.why)
		}
		delete(s.env, step.drop)
	}
	if s.notes.Len() > 0 {
		t.Errorf("notes where nothing was passed over: %s", s.notes.String())
	}
}

func TestFindNeverReplacesABadLIBTORCH(t *testing.T) {
	s := newScene(t)
	good := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{})
	s.python = fakePython(t, filepath.Join(t.TempDir(), "python3"), "echo '"+good+"'")
	s.env["LIBTORCH"] = "/nonsense"
	_, err := s.Find(t.Context())
	if err == nil || !strings.Contains(err.Error(), "LIBTORCH: /nonsense is not a libtorch") {
		t.Errorf("Find = %v, want an error about LIBTORCH", err)
	}
	s.env["LIBTORCH"] = faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{Missing: "libcudart.so.13"})
	if _, err = s.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "needs libcudart.so.13") {
		t.Errorf("Find = %v, want an error about libcudart", err)
	}
}

func TestFindPassesOverAPythonsBadTorch(t *testing.T) {
	s := newScene(t)
	noHeaders := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{})
	remove(t, noHeaders, "include")
	s.env["VIRTUAL_ENV"] = t.TempDir()
	fakePython(t, filepath.Join(s.env["VIRTUAL_ENV"], "bin/python"), "echo '"+noHeaders+"'")
	s.python = fakePython(t, filepath.Join(t.TempDir(), "python3"), "exit 3")
	if _, err := s.Find(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("Find = %v, want ErrNotInstalled", err)
	}
	for _, want := range []string{"it has no include/", s.python + " (python3 on PATH): " + s.python + " does not run"} {
		if !strings.Contains(s.notes.String(), want) {
			t.Errorf("notes %q do not tell of %q", s.notes.String(), want)
		}
	}
}

// The fake package fails when imported, and the current folder holds a decoy.
func TestTorchOfDoesNotImport(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	site := t.TempDir()
	faketorch.Write(t, filepath.Join(site, "torch/__init__.py"), "raise SystemExit('imported')")
	t.Setenv("PYTHONPATH", site)
	decoy := t.TempDir()
	faketorch.Write(t, filepath.Join(decoy, "torch/__init__.py"), "")
	t.Chdir(decoy)
	if root, err := torchOf(t.Context(), python); root != filepath.Join(site, "torch") || err != nil {
		t.Errorf("torchOf = %q, %v, want %s", root, err, filepath.Join(site, "torch"))
	}
}

// pipScript plays pip: install copies $1 to the target folder. TMPDIR must be
// on the same file system as the target.
const pipScript = `
[ "$3" = --version ] && exit 0
[ "$2" = pip ] || exit 0
for a; do
  [ "$target" = next ] && target=$a
  [ "$a" = --target ] && target=next
  [ "$requirements" = next ] && requirements=$a
  [ "$a" = --requirement ] && requirements=next
done
grep -q "torch==2.11.0 --hash=sha256:" "$requirements" || exit 9
case $TMPDIR in */.libtorch/unfinished) ;; *) exit 8 ;; esac
mkdir -p "$target" && cp -r "TREE" "$target/torch" && FINISH
`

func TestInstall(t *testing.T) {
	tree := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{Version: "2.11.0+cu130"})
	script := strings.ReplaceAll(pipScript, "TREE", tree)
	s := newScene(t)
	s.python = filepath.Join(t.TempDir(), "python3")

	fakePython(t, s.python, strings.ReplaceAll(script, "FINISH", "echo 'ERROR: No space left on device' && exit 1"))
	if _, err := s.Install(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "No space left on device") {
		t.Errorf("Install = %v, want pip's own words", err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.ModuleDir, ".libtorch")); len(left) > 0 {
		t.Errorf("a failed installation leaves %v", left)
	}
	// A killed one leaves its folder behind.
	faketorch.Write(t, filepath.Join(s.ModuleDir, ".libtorch/unfinished/site/torch/lib/libtorch_cpu.so"), "half")
	if _, err := s.Find(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("Find = %v after an interrupted installation, want ErrNotInstalled", err)
	}

	fakePython(t, s.python, strings.ReplaceAll(script, "FINISH", "exit 0"))
	for _, driver := range []bool{false, true} {
		s.driver = driver
		installed, err := s.Install(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found, err := s.Find(t.Context())
		if err != nil || found != installed {
			t.Errorf("Find = %+v, %v after Install = %+v", found, err, installed)
		}
		if driver != strings.Contains(found.Root, "-cuda") {
			t.Errorf("with driver = %v the libtorch is %s", driver, found.Root)
		}
	}

	remove(t, s.ModuleDir, ".libtorch/torch-2.11.0-cuda/torch/lib/libc10.so")
	if _, err := s.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged, remove ") {
		t.Errorf("Find = %v with a damaged installation", err)
	}
}

func TestInstallNeedsPip(t *testing.T) {
	s := newScene(t)
	if _, err := s.Install(t.Context()); err == nil || !strings.Contains(err.Error(), "apt-get install python3 python3-pip") {
		t.Errorf("Install without Python = %v", err)
	}
	s.python = fakePython(t, filepath.Join(t.TempDir(), "python3"), "exit 1")
	if _, err := s.Install(t.Context()); err == nil || !strings.Contains(err.Error(), "apt-get install python3-pip") {
		t.Errorf("Install without pip = %v", err)
	}
}

func TestRequirementLines(t *testing.T) {
	line := regexp.MustCompile(`^[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}$`)
	all := slices.Concat(cpuWheels, cudaWheels, headerWheels)
	lines := strings.Split(strings.TrimSpace(requirementLines(all)), "\n")
	seen := map[string]bool{}
	for _, text := range lines {
		name, _, _ := strings.Cut(text, "==")
		if !line.MatchString(text) || seen[name] {
			t.Errorf("bad or repeated requirement %q", text)
		}
		seen[name] = true
	}
	if len(lines) != len(all) {
		t.Errorf("%d lines for %d wheels", len(lines), len(all))
	}
}
