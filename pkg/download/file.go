// Package download brings files over HTTP into a folder: resumed where a transfer broke off, and under their final
// names only when they are whole and have the known checksum. What a server answers is never trusted.
package download

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"regexp"
)

// File is one file as its source describes it.
type File struct {
	Name     string // at the source
	Stored   string // in the folder, "" for Name
	Size     int64  // bytes
	Digest   string // hexadecimal: SHA-256, or the SHA-1 of git's blob
	Optional bool   // may be missing at the source
}

// ChecksumError reports a file whose content is not the known one.
type ChecksumError struct {
	File      string
	Want, Got string // as [File].Digest
}

func (e *ChecksumError) Error() string {
	name := "SHA-256"
	if len(e.Want) == sha1.Size*2 {
		name = "git's SHA-1"
	}
	return fmt.Sprintf("%s: %s is %s, want %s", e.File, name, e.Got, e.Want)
}

var digest = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// IsDigest says whether text can stand in [File].Digest.
func IsDigest(text string) bool { return digest.MatchString(text) }

func (f File) stored() string {
	if f.Stored != "" {
		return f.Stored
	}
	return f.Name
}

// hash is what Digest is computed by.
func (f File) hash() hash.Hash {
	if len(f.Digest) != sha1.Size*2 {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", f.Size)
	return h
}

// check compares what has arrived with what is known.
func (f File) check(name string, size int64, h hash.Hash) error {
	switch got := hex.EncodeToString(h.Sum(nil)); {
	case size > f.Size:
		return fmt.Errorf("%s: longer than its %d bytes", name, f.Size)
	case size < f.Size:
		return fmt.Errorf("%s: %d bytes, want %d", name, size, f.Size)
	case got != f.Digest:
		return &ChecksumError{name, f.Digest, got}
	}
	return nil
}

// Verify checks a file that is there, by size and digest.
func (f File) Verify(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	h := f.hash()
	size, err := io.Copy(h, io.LimitReader(file, f.Size+1))
	if err != nil {
		return err
	}
	return f.check(path, size, h)
}
