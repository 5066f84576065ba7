package metatt_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// built makes a container and asks its program; it is skipped where the tool for that is not at hand.
func built(t *testing.T, tool string, ready, build, run []string) {
	t.Helper()
	if testing.Short() {
		t.Skip("building takes minutes and a gigabyte")
	}
	if info, err := os.Stat(".git"); err != nil || !info.IsDir() {
		t.Skip("recipes build the commit of a clone; this folder is none")
	}
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("no %s here", tool)
	}
	command := func(limit time.Duration, arguments []string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		out, err := exec.CommandContext(ctx, tool, arguments...).CombinedOutput()
		return string(out), err
	}
	if out, err := command(time.Minute, ready); err != nil {
		lines := strings.Split(strings.TrimSpace(out), "\n")
		t.Skipf("%s cannot build here: %s", tool, lines[len(lines)-1])
	}
	if out, err := command(30*time.Minute, build); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := command(time.Minute, run); err != nil || !strings.Contains(out, "\nlibtorch            2.") || strings.Contains(out, "the build recorded none") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDockerImage(t *testing.T) {
	built(t, "docker", []string{"info"}, []string{"build", "-t", "metatt-test", "."}, []string{"run", "--rm", "metatt-test", "env"})
}

func TestApptainerImage(t *testing.T) {
	image := filepath.Join(t.TempDir(), "metatt.sif")
	built(t, "apptainer", []string{"version"}, []string{"build", image, "apptainer.def"}, []string{"run", image, "env"})
}

// The recipes take the Go that go.mod asks for and the torch that set-up installs.
func TestVersionsOfRecipes(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read("go.mod"))[1]
	torch := regexp.MustCompile(`pinnedTorch = "([\d.]+)"`).FindStringSubmatch(read("cmd/setup/internal/libtorch/install.go"))[1]
	for _, recipe := range []string{"Dockerfile", "apptainer.def"} {
		if text := read(recipe); !strings.Contains(text, "golang:"+version+"-") || !strings.Contains(text, "torch=="+torch) {
			t.Errorf("%s is not of go %s and torch %s", recipe, version, torch)
		}
	}
}

// The workflow does what .ci/run does, and nothing beside it.
func TestWorkflow(t *testing.T) {
	text, err := os.ReadFile(".github/workflows/ci.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Uses, Run string }
		}
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, job := range workflow.Jobs {
		for _, step := range job.Steps {
			if step.Run != "" {
				commands = append(commands, step.Run)
			}
		}
	}
	if len(commands) != 1 || commands[0] != ".ci/run" {
		t.Errorf("runs %q", commands)
	}
	if info, err := os.Stat(".ci/run"); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf(".ci/run: %v, %v", info, err)
	}
}
