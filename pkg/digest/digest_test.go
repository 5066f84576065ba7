package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// put writes a file that was changed that long ago.
func put(t *testing.T, path string, content []byte, ago time.Duration) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Now().Add(-ago)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

func sumOf(content []byte) Sum {
	digest := sha256.Sum256(content)
	return Sum{int64(len(content)), hex.EncodeToString(digest[:])}
}

func of(t *testing.T, c Cache, path string) Sum {
	t.Helper()
	sum, err := c.Of(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, size := range []int{0, 1, 1<<20 - 1, 1 << 20, 3<<20 + 5} {
		content := bytes.Repeat([]byte{'x'}, size)
		put(t, path, content, 0)
		if got := of(t, Cache{filepath.Join(t.TempDir(), "new")}, path); got != sumOf(content) {
			t.Errorf("%d bytes: %+v", size, got)
		}
	}
}

// What is remembered counts while the file is what it was, and no longer. Sums are put into the cache by hand: a
// file that was just written is not remembered.
func TestRemembered(t *testing.T) {
	dir, c := t.TempDir(), Cache{t.TempDir()}
	path := filepath.Join(dir, "f")
	put(t, path, make([]byte, smallestKept), time.Hour)
	s, err := stateOf(path)
	if err != nil {
		t.Fatal(err)
	}
	mark := sumOf([]byte("remembered"))
	mark.Bytes = smallestKept
	c.keep(s, mark)
	t.Chdir(dir)
	if got := of(t, c, "f"); got != mark {
		t.Errorf("by a relative path: %+v", got)
	}
	if err := os.Symlink("f", "link"); err != nil {
		t.Fatal(err)
	}
	if got := of(t, c, "link"); got != sumOf(make([]byte, smallestKept)) {
		t.Errorf("under another name: %+v", got)
	}
	// The same size, and times that a copy brings along.
	content := bytes.Repeat([]byte{'y'}, smallestKept)
	time.Sleep(20 * time.Millisecond) // a tick of the file system's clock
	put(t, path, content, 0)
	if err := os.Chtimes(path, time.Unix(0, s.Modified), time.Unix(0, s.Modified)); err != nil {
		t.Fatal(err)
	}
	if got := of(t, c, path); got != sumOf(content) {
		t.Errorf("of a file that was replaced: %+v", got)
	}
	if s, err = stateOf(path); err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{"", "{", `{"sha256":"00"}`} {
		c.keep(s, Sum{SHA256: damaged})
		if err := os.WriteFile(c.file(s), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := of(t, c, path); got != sumOf(content) {
			t.Errorf("with a damaged entry %q: %+v", damaged, got)
		}
	}
}

// A file that changed just now may change again unseen; a small one is read each time.
func TestNotRemembered(t *testing.T) {
	c := Cache{t.TempDir()}
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, make([]byte, smallestKept), 0)
	of(t, c, path)
	put(t, path, []byte("small"), 0)
	of(t, c, path)
	if kept, err := os.ReadDir(c.Dir); err != nil || len(kept) > 0 {
		t.Errorf("%d entries, %v", len(kept), err)
	}
	nowhere := Cache{filepath.Join(path, "below a file")}
	put(t, path, make([]byte, smallestKept), 0)
	s, err := stateOf(path)
	if err != nil {
		t.Fatal(err)
	}
	nowhere.keep(s, Sum{})
	if got := of(t, nowhere, path); got.Bytes != smallestKept {
		t.Errorf("without a place: %+v", got)
	}
}

// What is remembered of a file goes when the file has.
func TestForgotten(t *testing.T) {
	dir, c := t.TempDir(), Cache{t.TempDir()}
	for _, name := range []string{"a", "b", "c"} {
		path := filepath.Join(dir, name)
		put(t, path, nil, 0)
		s, err := stateOf(path)
		if err != nil {
			t.Fatal(err)
		}
		c.keep(s, Sum{})
		if name != "b" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if kept, err := os.ReadDir(c.Dir); err != nil || len(kept) != 2 { // b, and c that nothing came after
		t.Errorf("%d entries, %v", len(kept), err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := (Cache{}).Of(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := (Cache{}).Of(t.Context(), dir); err == nil || err.Error() != dir+": is no regular file" {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(dir, "f")
	put(t, path, []byte("x"), 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Cache{}).Of(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
