package experiment

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/task/own"
	"github.com/metatt/metatt/pkg/torch/cuda"
	"github.com/metatt/metatt/pkg/train"
)

//go:embed run.sh
var runScript []byte

// Pack writes one archive, a tar with gzip, that makes the runs that are left on a machine
// with a PyTorch and nothing else: program, weights, rows, configurations, the CUDA
// helper's source and run.sh. Runs that have ended go along as records without
// predictions, so that they are not made again. Weights are rounded to bf16 where every
// run is to compute in it.
func (ps Plans) Pack(ctx context.Context, file, program string, o Options) (notes []string, err error) {
	if err := ps.Refresh(); err != nil {
		return nil, err
	}
	out, err := renameio.NewPendingFile(file, renameio.WithTempDir(filepath.Dir(file)), renameio.WithPermissions(0o644))
	if err != nil {
		return nil, err
	}
	defer out.Cleanup()
	zip := gzip.NewWriter(out)
	k := &packer{plans: ps, options: o, archive: tar.NewWriter(zip), root: ps.name(), places: &Places{Models: map[string]string{}, Files: map[string]string{}}, has: map[string]bool{}}
	if err := k.pack(ctx, program); err != nil {
		return nil, err
	}
	if err := errors.Join(k.archive.Close(), zip.Close()); err != nil {
		return nil, err
	}
	return k.notes, out.CloseAtomicallyReplace()
}

// packer writes the archive of experiments.
type packer struct {
	plans   Plans
	options Options
	archive *tar.Writer
	root    string // folder of all in the archive
	places  *Places
	has     map[string]bool
	notes   []string
	rounds  bool   // weights, to bf16
	glue    string // the folder that "glue" stands for; empty: none yet
}

func (k *packer) pack(ctx context.Context, program string) (err error) {
	if k.rounds, err = k.plans.rounds(); err != nil {
		return err
	}
	if err := k.file("finetune", program, 0o755); err != nil {
		return err
	}
	if err := k.write("run.sh", runScript, 0o755); err != nil {
		return err
	}
	if err := k.helper(); err != nil {
		return err
	}
	all := packed{Places: k.places}
	bases := map[string]string{}
	for _, p := range k.plans {
		for _, r := range p.Runs {
			c, err := p.likely(r)
			if err == nil {
				err = k.inputs(ctx, c)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.Name, err)
			}
		}
		e := *p.Experiment
		e.Dir = ""
		e.Base = nil
		for _, base := range p.Base {
			if bases[base] == "" {
				bases[base] = fmt.Sprintf("base/%d-%s", len(bases), filepath.Base(base))
				if err := k.file(bases[base], base, 0o644); err != nil {
					return err
				}
			}
			e.Base = append(e.Base, bases[base])
		}
		if e.env != nil { // it stands over the base
			e.Set = slices.Concat(config.FromEnvironment(e.env), e.Set)
		}
		all.Experiments = append(all.Experiments, &e)
	}
	for _, e := range k.plans.entries(false) {
		err := eachRecordFile(e.Dir, func(name, from string) error {
			if name == train.PredictionsFile { // the largest of them, which stays here: the run is not made there
				return nil
			}
			return k.file(path.Join("runs", e.name, name), from, 0o644)
		})
		if err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return k.write(packedFile, text, 0o644)
}

// helper is the CUDA helper's source.
func (k *packer) helper() error {
	return fs.WalkDir(cuda.Source(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(cuda.Source(), name)
		if err != nil {
			return err
		}
		return k.write(path.Join("helper", name), text, 0o644)
	})
}

// inputs are the files that a run reads.
func (k *packer) inputs(ctx context.Context, c *config.Config) error {
	if c.Adapter.InitFrom != "" || c.Adapter.Append.To != "" {
		return errors.New("starts from a saved adapter, which is not packed")
	}
	own := *c
	environment, err := run.ReadEnvironment(ctx, run.Options{Config: &own, GLUEDir: k.options.GLUEDir, Version: k.options.Version, Observer: train.Silent{}})
	if err != nil {
		return err
	}
	if err := k.model(c, environment); err != nil {
		return err
	}
	for _, f := range environment.Inputs.Data {
		if err := k.data(c, f.Name); err != nil {
			return err
		}
	}
	return nil
}

// model packs the folder of a run's model.
func (k *packer) model(c *config.Config, e run.Environment) error {
	if c.Adapter.Method == "full" || c.Adapter.Method == "bitfit" {
		if k.rounds {
			k.note("%s starts from weights rounded to bf16", c.Adapter.Method)
		}
	}
	if _, has := k.places.Models[c.Model.Path]; has {
		return nil
	}
	to := "models/" + strconv.Itoa(len(k.places.Models))
	k.places.Models[c.Model.Path] = to
	for _, f := range e.Inputs.Model {
		if isWeights(f.Name) && k.rounds {
			continue
		}
		if err := k.file(path.Join(to, f.Name), filepath.Join(e.Model, f.Name), 0o644); err != nil {
			return err
		}
	}
	if !k.rounds {
		return nil
	}
	rounded, err := os.CreateTemp("", "metatt-rounded-")
	if err != nil {
		return err
	}
	defer os.Remove(rounded.Name())
	rounded.Close()
	if err := roundWeights(e.Model, rounded.Name()); err != nil {
		return err
	}
	return k.file(path.Join(to, "model.safetensors"), rounded.Name(), 0o644)
}

// rounds: every run asks for bf16. One that leaves it to the machine (auto) may compute in fp32 there.
func (ps Plans) rounds() (bool, error) {
	for _, p := range ps {
		for _, r := range p.Runs {
			c, err := p.likely(r)
			if err != nil {
				return false, fmt.Errorf("%s: %w", r.Name, err)
			}
			if c.Model.DType != "bf16" {
				return false, nil
			}
		}
	}
	return true, nil
}

// isWeights: the file holds tensors, or says which files do.
func isWeights(name string) bool {
	for _, ending := range []string{".safetensors", ".bin", ".index.json"} {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}

// data packs a file of a task's examples, by its name in the record.
func (k *packer) data(c *config.Config, name string) error {
	named := map[string]string{"data.train": c.Data.Train, "data.dev": c.Data.Dev, "data.test": c.Data.Test}
	key, _, _ := strings.Cut(name, "/") // of files that a pattern names
	if from, is := named[key]; is {
		return k.own(from)
	}
	folder, err := glue.Find(c.Data.GLUE, k.options.GLUEDir, glue.StandardFolder)
	if err != nil {
		return err
	}
	if k.places.GLUE, err = "glue", k.onlyGLUE(string(folder)); err != nil {
		return err
	}
	return k.file(path.Join("glue", name), filepath.Join(string(folder), name), 0o644)
}

// onlyGLUE is an error where the runs read GLUE from several folders: the archive has one.
func (k *packer) onlyGLUE(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if k.glue = cmp.Or(k.glue, folder); k.glue != folder {
		return fmt.Errorf("data.glue: %s and %s: an archive has one folder of GLUE", k.glue, folder)
	}
	return nil
}

// own packs the files that a path of own data names.
func (k *packer) own(from string) error {
	if _, has := k.places.Files[from]; has {
		return nil
	}
	to := fmt.Sprintf("data/%d", len(k.places.Files))
	k.places.Files[from] = path.Join(to, filepath.Base(from))
	files, err := own.Files(from)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := k.file(path.Join(to, filepath.Base(file)), file, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (k *packer) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(k.notes, text) {
		k.notes = append(k.notes, text)
	}
}

func (k *packer) write(name string, text []byte, mode int64) error {
	if k.has[name] {
		return nil
	}
	k.has[name] = true
	return writeEntry(k.archive, path.Join(k.root, name), int64(len(text)), mode, strings.NewReader(string(text)))
}

func (k *packer) file(name, from string, mode int64) error {
	if k.has[name] {
		return nil
	}
	k.has[name] = true
	return writeFile(k.archive, path.Join(k.root, name), from, mode)
}
