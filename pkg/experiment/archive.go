package experiment

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
)

func writeFile(archive *tar.Writer, name, from string, mode int64) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return writeEntry(archive, name, info.Size(), mode, f)
}

func writeEntry(archive *tar.Writer, name string, size, mode int64, content io.Reader) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Size: size, Mode: mode, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if n, err := io.Copy(archive, content); err != nil || n != size {
		return errors.Join(err, fmt.Errorf("%s: %d bytes of %d", name, n, size))
	}
	return nil
}
