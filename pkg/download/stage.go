package download

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// incomplete ends the name of a file that is still arriving, as huggingface_hub names it.
const incomplete = ".incomplete"

// Stage is the folder that files arrive in.
type Stage struct {
	Dir      string
	Files    []File                  // all that are to come, as far as is known
	Progress func(done, total int64) // nil, or called as bytes arrive; done falls back when a file starts again

	done int64
}

// Path is where a file lies once it is whole.
func (s *Stage) Path(file File) string { return filepath.Join(s.Dir, file.stored()) }

// Fill has bring store every file that is not there yet.
func (s *Stage) Fill(ctx context.Context, bring func(File) error) error {
	s.done = 0
	for _, file := range s.Files {
		if err := s.Need(ctx, file, bring); err != nil {
			return err
		}
	}
	return nil
}

// Need has bring store a file, unless it is there already.
func (s *Stage) Need(ctx context.Context, file File, bring func(File) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if file.Verify(s.Path(file)) == nil {
		s.advance(file.Size)
		return nil
	}
	err := bring(file)
	if file.Optional && errors.Is(err, fs.ErrNotExist) {
		s.advance(file.Size) // what will not come must not hold the progress back
		return nil
	}
	return err
}

func (s *Stage) advance(n int64) {
	s.done += n
	if s.Progress == nil {
		return
	}
	var total int64
	for _, file := range s.Files {
		total += file.Size
	}
	s.Progress(s.done, total)
}

// Put stores a file from its first byte on.
func (s *Stage) Put(file File, r io.Reader) error {
	part, err := s.resume(file)
	if err != nil {
		return err
	}
	defer part.close()
	if err := part.restart(); err != nil {
		return err
	}
	if _, err := part.ReadFrom(r); err != nil {
		return err
	}
	return part.commit()
}

// Publish replaces dir with the folder of the stage.
func (s *Stage) Publish(dir string) error {
	leftovers, err := filepath.Glob(filepath.Join(s.Dir, "*"+incomplete))
	if err != nil {
		return err
	}
	for _, part := range leftovers {
		if err := os.Remove(part); err != nil {
			return err
		}
	}
	// Only what failed verification can be in the way.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(s.Dir, dir)
}

// partial is a file that is arriving.
type partial struct {
	stage *Stage
	file  File
	f     *os.File
	size  int64
	hash  hash.Hash
}

// resume opens what an earlier attempt left of a file.
func (s *Stage) resume(file File) (*partial, error) {
	f, err := os.OpenFile(s.Path(file)+incomplete, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	p := &partial{s, file, f, 0, file.hash()}
	p.size, err = io.Copy(p.hash, f)
	if err == nil && p.size >= file.Size {
		err = p.restart()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s.advance(p.size)
	return p, nil
}

func (p *partial) restart() error {
	p.stage.advance(-p.size)
	p.size = 0
	p.hash = p.file.hash()
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.f.Truncate(0)
}

// ReadFrom appends r, never more than the file's size and one byte.
func (p *partial) ReadFrom(r io.Reader) (int64, error) {
	before := p.size
	buffer := make([]byte, 256<<10)
	r = io.LimitReader(r, p.file.Size+1-p.size)
	for {
		n, err := r.Read(buffer)
		if _, writeErr := p.f.Write(buffer[:n]); writeErr != nil {
			return p.size - before, writeErr
		}
		p.hash.Write(buffer[:n])
		p.size += int64(n)
		p.stage.advance(int64(n))
		if err == io.EOF {
			return p.size - before, nil
		}
		if err != nil {
			return p.size - before, err
		}
	}
}

// commit gives the file its name if it is the known one, and removes it if not.
func (p *partial) commit() error {
	err := p.file.check(p.file.Name, p.size, p.hash)
	if err == nil {
		if err = p.f.Sync(); err == nil {
			return os.Rename(p.f.Name(), p.stage.Path(p.file))
		}
	}
	os.Remove(p.f.Name())
	return err
}

// close keeps what has arrived, if anything, for the next attempt.
func (p *partial) close() {
	p.f.Close()
	if p.size == 0 {
		os.Remove(p.f.Name())
	}
}

// Lock keeps two processes from working at the same thing. The file stays: removing it would let a third one in.
func Lock(path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f.Close, nil
}
