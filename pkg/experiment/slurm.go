package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// Slurm is how an experiment is run as a job array.
type Slurm struct {
	Tasks   int           // of the array; 0: as many as there are runs, 16 at most
	Options []SlurmOption // of sbatch: partition, time, gres …
	Setup   string        // shell lines before: modules, LD_LIBRARY_PATH
}

// SlurmOption is --name=value.
type SlurmOption struct{ Name, Value string }

// mostTasks bounds an array whose size the file does not say.
const mostTasks = 16

// SlurmScript is a job array whose tasks share the runs that are left: each takes those
// that no other has, so that any number of them serves. command is the program with its
// arguments.
func (p *Plan) SlurmScript(command []string, began time.Time) string {
	tasks := p.Slurm.Tasks
	if tasks == 0 {
		left := 0
		for _, r := range p.Runs {
			if r.State != Ended {
				left++
			}
		}
		tasks = max(1, min(left, mostTasks))
	}
	options := []SlurmOption{
		{"job-name", p.Experiment.name()},
		{"array", fmt.Sprintf("0-%d", tasks-1)},
		{"output", filepath.Join(p.Dir, "slurm", "%A_%a.log")},
		{"open-mode", "append"},
		{"signal", "TERM@60"}, // the run that goes on is saved before the time is over
	}
	for _, o := range p.Slurm.Options {
		if i := slices.IndexFunc(options, func(own SlurmOption) bool { return own.Name == o.Name }); i >= 0 {
			options[i] = o
		} else {
			options = append(options, o)
		}
	}
	var script strings.Builder
	script.WriteString("#!/bin/bash\n")
	for _, o := range options {
		fmt.Fprintf(&script, "#SBATCH --%s=%s\n", o.Name, oneWord(o.Value))
	}
	if p.Slurm.Setup != "" {
		script.WriteString(strings.TrimRight(p.Slurm.Setup, "\n") + "\n")
	}
	script.WriteString("exec srun --kill-on-bad-exit=1")
	for _, word := range append(slices.Clone(command), fmt.Sprintf("--began=%d", began.UnixNano())) {
		script.WriteString(" " + quoted(word))
	}
	script.WriteString("\n")
	return script.String()
}

// Submit writes the script into the experiment's folder and hands it to sbatch, which
// answers with the job's number.
func (p *Plan) Submit(ctx context.Context, script string) (job, file string, err error) {
	file = filepath.Join(p.Dir, "slurm", "job.sh")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", "", err
	}
	if err := renameio.WriteFile(file, []byte(script), 0o755, renameio.WithTempDir(filepath.Dir(file))); err != nil {
		return "", "", err
	}
	var out, said bytes.Buffer
	sbatch := exec.CommandContext(ctx, "sbatch", "--parsable", file)
	sbatch.Stdout, sbatch.Stderr = &out, &said
	switch err := sbatch.Run(); {
	case errors.Is(err, exec.ErrNotFound):
		return "", file, fmt.Errorf("sbatch is not here: submit %s where Slurm is", file)
	case err != nil:
		return "", file, fmt.Errorf("sbatch %s: %w: %s", file, err, strings.TrimSpace(said.String()))
	}
	job, _, _ = strings.Cut(strings.TrimSpace(out.String()), ";") // the cluster's name may follow
	return job, file, nil
}

// oneWord is a value as sbatch reads it from a script, which the shell does not.
func oneWord(value string) string {
	if !strings.ContainsAny(value, " \t\"'#\\") {
		return value
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// quoted is a word as the shell reads it.
func quoted(word string) string {
	if strings.IndexFunc(word, func(c rune) bool { return plain(c) != c && !strings.ContainsRune("/=,", c) }) < 0 && word != "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
