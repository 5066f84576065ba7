package run

import (
	"fmt"
	"slices"
	"strings"
)

// Difference is one thing that numbers depend on, and that two runs do not share.
type Difference struct {
	What      string // "program", "model.safetensors"
	Then, Now string
}

// AllDifferences are those of a run that went on with something else, too, each once.
func (e Environment) AllDifferences(now Environment) []Difference {
	all := e.Differences(now)
	for _, later := range e.Resumed {
		for _, d := range later.Differences(now) {
			if !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	return all
}

// Differences are those of what a run's numbers depend on beside its configuration: the program, libtorch, the
// processor, threads, the number of processes, the device, and what the files hold that the run reads. What a record
// of an older program lacks is different.
func (e Environment) Differences(now Environment) (all []Difference) {
	compare := func(what, then, now string) {
		if then != now {
			all = append(all, Difference{what, orNothing(then), orNothing(now)})
		}
	}
	if !e.Build.same(now.Build) {
		compare("program", e.program(), now.program())
	}
	compare("libtorch", e.Torch.Version, now.Torch.Version)
	compare("CPU", strings.Join(e.Torch.Capability, " "), strings.Join(now.Torch.Capability, " "))
	compare("CPU kernels", e.Torch.Kernels, now.Torch.Kernels)
	compare("threads", fmt.Sprint(e.Torch.Threads), fmt.Sprint(now.Torch.Threads))
	compare("number of processes", fmt.Sprint(max(1, e.Processes)), fmt.Sprint(max(1, now.Processes)))
	compare("device", e.Device, now.Device)
	if e.Device != "cpu" || now.Device != "cpu" {
		compare("CUDA", strings.Join(e.Torch.CUDA, ", "), strings.Join(now.Torch.CUDA, ", "))
	}
	for _, part := range []struct {
		name      string
		then, now []File
	}{{"model", e.Inputs.Model, now.Inputs.Model}, {"data", e.Inputs.Data, now.Inputs.Data}, {"start", e.Inputs.Start, now.Inputs.Start}} {
		for _, f := range slices.Concat(part.then, missing(part.now, part.then)) {
			compare(part.name+" "+f.Name, sumOf(part.then, f.Name), sumOf(part.now, f.Name))
		}
	}
	return all
}

// same: two programs make the same numbers, being one file or built of the same sources by the same compiler.
func (b Build) same(other Build) bool {
	if b.Executable != "" && b.Executable == other.Executable {
		return true
	}
	b.Executable, other.Executable = "", ""
	return b.Commit != "" && !b.Modified && b == other
}

// program describes it as far as it tells two programs apart.
func (e Environment) program() string {
	b := e.Build
	text := e.Version
	if b.Commit != "" {
		text += " of " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			text += " with changes"
		}
	}
	if b.Executable == "" {
		return text
	}
	return fmt.Sprintf("%s, %s, gotch %s, SHA-256 %s", text, b.Go, b.Gotch, short(b.Executable))
}

// missing are the files of a list that another has none of that name for.
func missing(files, among []File) []File {
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool {
		return slices.ContainsFunc(among, func(other File) bool { return other.Name == f.Name })
	})
}

func sumOf(files []File, name string) string {
	for _, f := range files {
		if f.Name == name {
			return fmt.Sprintf("%d bytes, SHA-256 %s", f.Bytes, short(f.SHA256))
		}
	}
	return ""
}

// short is enough of a SHA-256 to tell two apart.
func short(digits string) string { return digits[:min(16, len(digits))] }

func orNothing(text string) string {
	if text == "" {
		return "not recorded"
	}
	return text
}
