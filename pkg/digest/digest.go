// Package digest says what files hold, by their SHA-256, and remembers it of large ones.
package digest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Sum is what a file holds.
type Sum struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // in hexadecimal digits
}

// Cache remembers sums in a folder, a small file for each. The zero Cache remembers nothing.
type Cache struct{ Dir string }

// smallestKept is the size below which a file is read again as quickly as what is remembered of it.
const smallestKept = 1 << 20

// settled is how long a file must have been left alone: one that changes twice within the clock of its file
// system has the same times each time.
const settled = 2 * time.Second

// Of is the sum of a regular file. One that is remembered is taken where the file has the size and the times that
// it had; what cannot be remembered costs the next reading. An error is that of the file, or of ctx.
func (c Cache) Of(ctx context.Context, path string) (Sum, error) {
	before, err := stateOf(path)
	if err != nil {
		return Sum{}, err
	}
	kept := c.Dir != "" && before.Bytes >= smallestKept
	if kept {
		if sum, ok := c.recall(before); ok {
			return sum, nil
		}
	}
	sum, err := read(ctx, path)
	if err != nil {
		return Sum{}, err
	}
	if after, err := stateOf(path); kept && err == nil && after == before && time.Since(time.Unix(0, max(before.Modified, before.Changed))) > settled {
		c.keep(before, sum)
	}
	return sum, nil
}

// state tells whether a file is what it was.
type state struct {
	Path     string `json:"path"` // absolute
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified"` // its content, in nanoseconds since 1970
	Changed  int64  `json:"changed"`  // also its times and names, which no program can put back
}

func stateOf(path string) (state, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return state{}, err
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return state{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return state{}, fmt.Errorf("%s: is no regular file", path)
	}
	return state{whole, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano()}, nil
}

func read(ctx context.Context, path string) (Sum, error) {
	file, err := os.Open(path)
	if err != nil {
		return Sum{}, err
	}
	defer file.Close()
	digest, buffer := sha256.New(), make([]byte, 1<<20)
	for size := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return Sum{}, err
		}
		n, err := file.Read(buffer)
		digest.Write(buffer[:n])
		size += int64(n)
		if errors.Is(err, io.EOF) {
			return Sum{size, hex.EncodeToString(digest.Sum(nil))}, nil
		}
		if err != nil {
			return Sum{}, err
		}
	}
}

// entry is a file of the cache.
type entry struct {
	state
	SHA256 string `json:"sha256"`
}

func (c Cache) file(s state) string {
	name := sha256.Sum256([]byte(s.Path))
	return filepath.Join(c.Dir, hex.EncodeToString(name[:])+".json")
}

func (c Cache) recall(s state) (Sum, bool) {
	text, err := os.ReadFile(c.file(s))
	var e entry
	if err != nil || json.Unmarshal(text, &e) != nil || e.state != s {
		return Sum{}, false
	}
	digits, err := hex.DecodeString(e.SHA256)
	return Sum{s.Bytes, e.SHA256}, err == nil && len(digits) == sha256.Size
}

func (c Cache) keep(s state, sum Sum) {
	if text, err := json.Marshal(entry{s, sum.SHA256}); err == nil && os.MkdirAll(c.Dir, 0o755) == nil {
		c.forget()
		_ = renameio.WriteFile(c.file(s), text, 0o644)
	}
}

// forget removes what is remembered of files that are gone.
func (c Cache) forget() {
	files, _ := filepath.Glob(filepath.Join(c.Dir, "*.json"))
	for _, file := range files {
		var e entry
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &e) != nil {
			continue
		}
		if _, err := os.Lstat(e.Path); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(file)
		}
	}
}
