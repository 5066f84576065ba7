package fit

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

// TestKnownUnavailable compares the table with what the compiler says of real
// libtorches: SETUP_TEST_LIBTORCH=DIR:DIR go test -run KnownUnavailable -v
func TestKnownUnavailable(t *testing.T) {
	list := os.Getenv("SETUP_TEST_LIBTORCH")
	if list == "" {
		t.Skip("SETUP_TEST_LIBTORCH names no libtorch folders; each takes half a minute")
	}
	module, err := OpenModule(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	source, err := module.download(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range filepath.SplitList(list) {
		library, err := libtorch.Inspect(root)
		if err != nil {
			t.Error(err)
			continue
		}
		dir := t.TempDir()
		if err := copyModule(source, dir); err != nil {
			t.Fatal(err)
		}
		record, err := newRecord(library)
		if err != nil {
			t.Fatal(err)
		}
		found, err := module.adapt(t.Context(), library, record, dir, nil)
		if err != nil {
			t.Errorf("%s: %v", library.Version, err)
			continue
		}
		known := slices.Sorted(slices.Values(knownUnavailable[library.Release()]))
		if !slices.Equal(found, known) {
			t.Errorf("libtorch %s lacks %q, the table says %q", library.Version, found, known)
		}
	}
}
