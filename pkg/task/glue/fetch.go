package glue

import (
	"archive/zip"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/download"
	"github.com/metatt/metatt/pkg/task"
)

// FetchOptions are what a caller may want of [Fetch].
type FetchOptions struct {
	Host     string                  // a mirror in the place of https://dl.fbaipublicfiles.com, "" for none
	Progress func(done, total int64) // nil, or called as bytes arrive
}

// Published lists the tasks that [Fetch] can bring: all but the sample task.
func Published() []task.Task {
	return slices.DeleteFunc(task.Tasks(), func(t task.Task) bool { _, published := releases[t.Name]; return !published })
}

// Fetch brings the official files of one task into its folder below dir, all of them or none. Where they are there
// already, it downloads nothing. Other files of the folder stay as they are. A broken download is kept and resumed by
// the next Fetch; every download must have the published checksum.
func Fetch(ctx context.Context, dir string, t task.Task, o FetchOptions) (already bool, err error) {
	r, published := releases[t.Name]
	if !published {
		return false, fmt.Errorf("task %s is not published, there is nothing to fetch", t.Name)
	}
	if already, err = r.fetch(ctx, dir, t, o); err != nil {
		return false, fmt.Errorf("cannot fetch %s: %w", t.Name, err)
	}
	return already, nil
}

func (r release) fetch(ctx context.Context, dir string, t task.Task, o FetchOptions) (already bool, err error) {
	l, err := layoutOf(t)
	if err != nil {
		return false, err
	}
	unlock, err := download.Lock(filepath.Join(dir, "."+l.folder+".lock"))
	if err != nil {
		return false, err
	}
	defer unlock()
	if r.verify(filepath.Join(dir, l.folder), t) == nil {
		return true, nil
	}
	if err := download.Offline(); err != nil {
		return false, err
	}
	stage := &download.Stage{Dir: filepath.Join(dir, "."+l.folder+".partial"), Progress: o.Progress}
	if err := os.MkdirAll(stage.Dir, 0o755); err != nil {
		return false, err
	}
	defer os.Remove(stage.Dir) // stays if it holds something to resume
	for _, file := range r.downloads {
		file.Stored = path.Base(file.Name)
		stage.Files = append(stage.Files, file)
	}
	host := strings.TrimSuffix(cmp.Or(o.Host, officialHost), "/")
	client := &download.Client{Patience: download.Patience}
	err = stage.Fill(ctx, func(file download.File) error { return client.Get(ctx, host+"/"+file.Name, file, stage) })
	if err != nil {
		return false, cmp.Or(ctx.Err(), err)
	}

	fresh, err := os.MkdirTemp(dir, "."+l.folder+"-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(fresh)
	if err := r.unpack(r, stage, l.folder, fresh); err != nil {
		return false, err
	}
	if err := r.verify(fresh, t); err != nil {
		return false, err
	}
	if err := r.place(fresh, filepath.Join(dir, l.folder)); err != nil {
		return false, err
	}
	return false, os.RemoveAll(stage.Dir)
}

// place gives the task's folder its files: as a whole where there is none yet, else one by one, for the folder may hold
// others.
func (r release) place(fresh, folder string) error {
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(fresh, folder)
	}
	for _, file := range r.files {
		if err := os.Rename(filepath.Join(fresh, file.name), filepath.Join(folder, file.name)); err != nil {
			return err
		}
	}
	return nil
}

// verify checks that a folder holds the official files.
func (r release) verify(folder string, t task.Task) error {
	for _, file := range r.files {
		if err := file.verify(filepath.Join(folder, file.name), t); err != nil {
			return err
		}
	}
	return nil
}

func (r released) verify(path string, t task.Task) error {
	content, err := readBounded(path)
	if err != nil {
		return err
	}
	if r.sha256 != "" {
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); got != r.sha256 {
			return &download.ChecksumError{File: path, Want: r.sha256, Got: got}
		}
		return nil
	}
	files := layouts[t.Name].files
	form := files[slices.IndexFunc(files, func(f file) bool { return f.name == r.name })]
	examples, err := parse(t, path, form, content, nil)
	if err != nil {
		return err
	}
	if len(examples) != r.examples {
		return fmt.Errorf("%s: %d examples, want %d", path, len(examples), r.examples)
	}
	return nil
}

// maxTSV is far above the largest file of the benchmark, MNLI's training file of 79 MB.
const maxTSV = 256 << 20

func readBounded(path string) ([]byte, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if stat.Size() > maxTSV {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", path, stat.Size(), maxTSV)
	}
	return os.ReadFile(path)
}

// unpacker makes the files of a task's folder, in the folder into, of what the stage holds.
type unpacker func(r release, stage *download.Stage, folder, into string) error

// unzip takes the files out of a zip that holds no path out of itself. They are looked up by their names, so that no
// name in the archive decides where anything is written, and none is inflated beyond maxTSV.
func unzip(r release, stage *download.Stage, folder, into string) error {
	source := stage.Files[0]
	archive, err := zip.OpenReader(stage.Path(source))
	if err != nil {
		return fmt.Errorf("%s: %w", source.Name, err)
	}
	defer archive.Close()
	for _, member := range archive.File {
		if !filepath.IsLocal(member.Name) {
			return fmt.Errorf("%s: %.200q leads out of the archive: %w", source.Name, member.Name, zip.ErrInsecurePath)
		}
	}
	for _, file := range r.files {
		if err := unzipOne(&archive.Reader, folder+"/"+file.name, filepath.Join(into, file.name), maxTSV); err != nil {
			return fmt.Errorf("%s: %w", source.Name, err)
		}
	}
	return nil
}

func unzipOne(archive *zip.Reader, name, path string, limit int64) error {
	member, err := archive.Open(name)
	if err != nil {
		return err
	}
	defer member.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(member, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// rename takes over the one file as it is.
func rename(r release, stage *download.Stage, _, into string) error {
	return os.Rename(stage.Path(stage.Files[0]), filepath.Join(into, r.files[0].name))
}
