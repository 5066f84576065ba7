package folder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// write fills a folder with files of these names, each holding its name and text.
func write(text string, names ...string) func(string) error {
	return func(dir string) error {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(name+text), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func expect(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", filepath.Base(dir), got, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReplace(t *testing.T) {
	defer func(f func(int, string, int, string, uint) error) { renameat2 = f }(renameat2)
	for name, f := range map[string]func(int, string, int, string, uint) error{
		"exchange":        renameat2,
		"no exchange":     func(int, string, int, string, uint) error { return unix.EINVAL },
		"no such syscall": func(int, string, int, string, uint) error { return unix.ENOSYS },
	} {
		t.Run(name, func(t *testing.T) {
			renameat2 = f
			parent := filepath.Join(t.TempDir(), "new")
			dir := filepath.Join(parent, "dir")
			check(t, Replace(dir, write("1", "a", "b")))
			check(t, Replace(dir, func(partial string) error {
				expect(t, dir, "a", "b") // whole until the new one is
				return write("2", "a", "c")(partial)
			}))
			expect(t, dir, "a", "c")
			if text, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(text) != "a2" {
				t.Errorf("a holds %q (%v)", text, err)
			}
			// A failure leaves what was there, and nothing else.
			full := errors.New("no space left")
			if err := Replace(dir, func(partial string) error { return errors.Join(write("3", "a")(partial), full) }); !errors.Is(err, full) {
				t.Errorf("%v", err)
			}
			expect(t, dir, "a", "c")
			expect(t, parent, "dir")
		})
	}
	// Another failure than a file system's lack is one.
	renameat2 = func(int, string, int, string, uint) error { return unix.EPERM }
	dir := filepath.Join(t.TempDir(), "dir")
	check(t, Replace(dir, write("1", "a")))
	if err := Replace(dir, write("2", "b")); !errors.Is(err, unix.EPERM) {
		t.Errorf("%v", err)
	}
	expect(t, dir, "a")
}

func TestMakeTakesNobodysPlace(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "dir")
	check(t, os.Mkdir(dir, 0o755))
	if Make(dir, write("1", "a")) == nil || CheckNew(dir) == nil {
		t.Error("an empty folder was replaced")
	}
	check(t, Remove(dir))
	check(t, Remove(dir)) // nothing to do
	check(t, Remove(filepath.Join(dir, "nor", "here")))
	check(t, Make(dir, write("1", "a")))
	check(t, Link(dir, filepath.Join(parent, "linked")))
	check(t, Replace(dir, write("2", "a"))) // which leaves the link's files alone
	if text, err := os.ReadFile(filepath.Join(parent, "linked", "a")); err != nil || string(text) != "a1" {
		t.Errorf("linked: %q (%v)", text, err)
	}
	expect(t, parent, "dir", "linked")
}

func TestCleanPutsBackAndRemoves(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".partial-1", ".former-best", ".former-last", "last", ".keep1"} {
		check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		check(t, write("", "a")(filepath.Join(dir, name)))
	}
	check(t, write("", ".state.json8127", ".state.json", ".other.json8127", "state.json", "state.json1")(dir))
	check(t, Clean(dir, "state.json"))
	expect(t, dir, ".keep1", ".other.json8127", ".state.json", "best", "last", "state.json", "state.json1")
	expect(t, filepath.Join(dir, "best"), "a")
	check(t, Clean(filepath.Join(dir, "nothing")))
}
