package hf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ChecksumError reports a file whose content is not the known one.
type ChecksumError struct {
	File      string
	Want, Got string // SHA-256
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: SHA-256 is %s, want %s", e.File, e.Got, e.Want)
}

// staging is the folder in which a model comes together. A file has its final
// name there only after its hash was right.
type staging struct {
	dir      string
	files    []knownFile
	progress func(done, total int64)
	done     int64 // bytes of the source being tried
}

// fill has bring store every file that is not there yet.
func (s *staging) fill(ctx context.Context, bring func(knownFile) error) error {
	for _, file := range s.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if file.verify(filepath.Join(s.dir, file.name)) == nil {
			s.advance(file.size)
			continue
		}
		err := bring(file)
		if file.optional && errors.Is(err, fs.ErrNotExist) {
			s.advance(file.size) // what will not come must not hold the progress back
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (s *staging) advance(n int64) {
	s.done += n
	if s.progress == nil {
		return
	}
	var total int64
	for _, file := range s.files {
		total += file.size
	}
	s.progress(s.done, total)
}

// put stores a file from its first byte on.
func (s *staging) put(file knownFile, r io.Reader) error {
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

// partial is a file that is arriving.
type partial struct {
	stage *staging
	file  knownFile
	f     *os.File
	size  int64
	hash  hash.Hash
}

// resume opens what an earlier attempt left of a file.
func (s *staging) resume(file knownFile) (*partial, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, file.name+".part"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	p := &partial{s, file, f, 0, sha256.New()}
	p.size, err = io.Copy(p.hash, f)
	if err == nil && p.size >= file.size {
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
	p.hash.Reset()
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.f.Truncate(0)
}

// ReadFrom appends r, never more than the file's known size and one byte.
func (p *partial) ReadFrom(r io.Reader) (int64, error) {
	before := p.size
	buffer := make([]byte, 256<<10)
	r = io.LimitReader(r, p.file.size+1-p.size)
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
	got := hex.EncodeToString(p.hash.Sum(nil))
	var err error
	switch {
	case p.size != p.file.size:
		err = fmt.Errorf("%s: %w", p.file.name, sizeError(p.size, p.file.size))
	case got != p.file.sha256:
		err = &ChecksumError{p.file.name, p.file.sha256, got}
	default:
		if err = p.f.Sync(); err == nil {
			return os.Rename(p.f.Name(), filepath.Join(p.stage.dir, p.file.name))
		}
	}
	os.Remove(p.f.Name())
	return err
}

func sizeError(got, want int64) error {
	if got > want {
		return fmt.Errorf("longer than its %d bytes", want)
	}
	return fmt.Errorf("%d bytes, want %d", got, want)
}

// close keeps what has arrived, if anything, for the next attempt.
func (p *partial) close() {
	p.f.Close()
	if p.size == 0 {
		os.Remove(p.f.Name())
	}
}

func (k knownFile) verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, k.size+1)); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != k.sha256 {
		return &ChecksumError{path, k.sha256, got}
	}
	return nil
}

// publish replaces dir with the staged folder.
func (s *staging) publish(dir string) error {
	leftovers, err := filepath.Glob(filepath.Join(s.dir, "*.part"))
	if err != nil {
		return err
	}
	for _, part := range leftovers {
		if err := os.Remove(part); err != nil {
			return err
		}
	}
	// Only a folder that failed verification can be in the way.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(s.dir, dir)
}
