package helper

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestBuild(t *testing.T) {
	files := fstest.MapFS{"source/a.c": {Data: []byte("a")}, "source/b.c": {Data: []byte("b")}, "build.sh": {Data: []byte("c")}}
	if got := Build(files); got != "fb8e20fc2e4c3f24" { // of "ab"
		t.Error(got)
	}
}

// What the environment names stands before what is beside the executable, and the loader
// comes last.
func TestFind(t *testing.T) {
	const variable, library = "METATT_TEST_HELPER", "libmetatt_test.so"
	if path, named := Find(variable, library); path != library || named {
		t.Errorf("%s, %v", path, named)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(executable), library)
	if err := os.WriteFile(beside, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(beside)
	if path, named := Find(variable, library); path != beside || named {
		t.Errorf("%s, %v", path, named)
	}
	t.Setenv(variable, "/elsewhere")
	if path, named := Find(variable, library); path != "/elsewhere" || !named {
		t.Errorf("%s, %v", path, named)
	}
	// Of this checkout.
	folders := Folders()
	if len(folders) != 2 {
		t.Fatalf("%q", folders)
	}
	if want, err := filepath.Abs("../../../.gotch/helper"); err != nil || filepath.Clean(folders[1]) != want {
		t.Errorf("%q, want %s", folders[1], want)
	}
}
