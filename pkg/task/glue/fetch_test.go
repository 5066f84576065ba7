package glue

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/download"
	"github.com/metatt/metatt/pkg/task"
)

// member is a file of a zip; a slice keeps their order.
type member struct{ name, content string }

func zipOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for _, m := range members {
		w, err := archive.Create(m.name)
		if err == nil {
			_, err = w.Write([]byte(m.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// host serves downloads by their paths and counts the requests.
type host struct {
	url      string
	files    map[string][]byte
	breaking int // so many answers stop half-way
	requests []string
}

func startHost(t *testing.T, files map[string][]byte) *host {
	t.Helper()
	t.Setenv("HF_HUB_OFFLINE", "0") // what the user has set is not the test's
	h := &host{files: files}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := h.files[strings.TrimPrefix(r.URL.Path, "/")]
		h.requests = append(h.requests, strings.TrimSpace(path.Base(r.URL.Path)+" "+r.Header.Get("Range")))
		if !ok {
			http.NotFound(w, r)
			return
		}
		if h.breaking > 0 {
			h.breaking--
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:len(content)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// downloads describes what a host serves, in the order of names.
func (h *host) downloads(names ...string) []download.File {
	var files []download.File
	for _, name := range names {
		files = append(files, download.File{Name: name, Size: int64(len(h.files[name])), Digest: sum(h.files[name])})
	}
	return files
}

const (
	rteTrain = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\tc\td\tnot_entailment\n"
	rteDev   = "index\tsentence1\tsentence2\tlabel\n0\te\tf\tentailment\n"
)

// tinyRTE is a release of two files: one whose checksum is known, one whose number of examples is.
func tinyRTE(t *testing.T, members ...member) (*host, release, task.Task) {
	t.Helper()
	h := startHost(t, map[string][]byte{"data/RTE.zip": zipOf(t, members...)})
	named, err := task.Lookup("RTE")
	if err != nil {
		t.Fatal(err)
	}
	return h, release{h.downloads("data/RTE.zip"), unzip, []released{{name: "train.tsv", examples: 2}, {name: "dev.tsv", sha256: sum([]byte(rteDev))}}}, named
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// names lists a folder, without the lock.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			all = append(all, entry.Name())
		}
	}
	return strings.Join(all, " ")
}

func TestFetchUnzipsATask(t *testing.T) {
	h, r, named := tinyRTE(t, member{"RTE/", ""}, member{"RTE/train.tsv", rteTrain}, member{"RTE/original/dev.tsv", "x"}, member{"RTE/dev.tsv", rteDev})
	root := t.TempDir()
	dir := filepath.Join(root, "data", "glue")
	var last, all int64
	o := FetchOptions{Host: h.url + "/", Progress: func(done, total int64) { last, all = done, total }}
	if already, err := r.fetch(t.Context(), dir, named, o); err != nil || already {
		t.Fatal(already, err)
	}
	if size := r.downloads[0].Size; last != size || all != size {
		t.Errorf("progress ends at %d of %d, want %d", last, all, size)
	}
	if content(t, filepath.Join(dir, "RTE", "train.tsv")) != rteTrain || content(t, filepath.Join(dir, "RTE", "dev.tsv")) != rteDev {
		t.Error("other content")
	}
	if got := names(t, dir) + ";" + names(t, filepath.Join(dir, "RTE")) + ";" + names(t, root); got != "RTE;dev.tsv train.tsv;data" {
		t.Errorf("left %s", got)
	}
	if examples, err := Folder(dir).Read(named, task.Train, nil); err != nil || len(examples) != 2 {
		t.Errorf("%v, %v", examples, err)
	}

	// What is there is not asked for again; what is damaged is, and the user's own files stay.
	h.requests = nil
	if already, err := r.fetch(t.Context(), dir, named, o); err != nil || !already || len(h.requests) > 0 {
		t.Error(already, err, h.requests)
	}
	for name, text := range map[string]string{"dev.tsv": "damaged", "train_subset.tsv": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, "RTE", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if already, err := r.fetch(t.Context(), dir, named, o); err != nil || already {
		t.Error(already, err)
	}
	if content(t, filepath.Join(dir, "RTE", "dev.tsv")) != rteDev || content(t, filepath.Join(dir, "RTE", "train_subset.tsv")) != "mine" {
		t.Error("other content")
	}
	if got := names(t, dir); got != "RTE" {
		t.Errorf("left %s", got)
	}
}

func TestFetchTaskResumes(t *testing.T) {
	h, r, named := tinyRTE(t, member{"RTE/train.tsv", rteTrain}, member{"RTE/dev.tsv", rteDev})
	h.breaking = 1
	dir := t.TempDir()
	if _, err := r.fetch(t.Context(), dir, named, FetchOptions{Host: h.url}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"RTE.zip", fmt.Sprintf("RTE.zip bytes=%d-", r.downloads[0].Size/2)}; !slices.Equal(h.requests, want) {
		t.Errorf("requests %q, want %q", h.requests, want)
	}
	// An earlier run that was stopped left a part.
	os.RemoveAll(filepath.Join(dir, "RTE"))
	partial := filepath.Join(dir, ".RTE.partial")
	if err := os.MkdirAll(partial, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(partial, "RTE.zip.incomplete"), h.files["data/RTE.zip"][:7], 0o644); err != nil {
		t.Fatal(err)
	}
	h.requests = nil
	if _, err := r.fetch(t.Context(), dir, named, FetchOptions{Host: h.url}); err != nil || !slices.Equal(h.requests, []string{"RTE.zip bytes=7-"}) {
		t.Errorf("requests %q, %v", h.requests, err)
	}
}

func TestFetchTaskRefuses(t *testing.T) {
	good := slices.Clip([]member{{"RTE/train.tsv", rteTrain}, {"RTE/dev.tsv", rteDev}})
	for name, c := range map[string]struct {
		members []member
		spoil   func(*host)
		want    string // FRESH is the folder in which files are checked
	}{
		"wrong checksum": {good, func(h *host) { h.files["data/RTE.zip"][40] ^= 1 }, "data/RTE.zip: SHA-256 is "},
		"longer":         {good, func(h *host) { h.files["data/RTE.zip"] = append(h.files["data/RTE.zip"], 0) }, "data/RTE.zip: longer than its "},
		"not there":      {good, func(h *host) { clear(h.files) }, "data/RTE.zip: 404 Not Found: file does not exist"},
		"no member":      {good[:1], nil, "data/RTE.zip: open RTE/dev.tsv: file does not exist"},
		"climbs out":     {append(good, member{"RTE/../../evil.tsv", "x"}), nil, `data/RTE.zip: "RTE/../../evil.tsv" leads out of the archive: zip: insecure file path`},
		"climbs up":      {[]member{{"../RTE/train.tsv", rteTrain}, {"../RTE/dev.tsv", rteDev}}, nil, `data/RTE.zip: "../RTE/train.tsv" leads out of the archive: zip: insecure file path`},
		"absolute":       {append(good, member{"/evil.tsv", "x"}), nil, `data/RTE.zip: "/evil.tsv" leads out of the archive: zip: insecure file path`},
		"other file":     {[]member{good[0], {"RTE/dev.tsv", rteTrain}}, nil, "FRESH/dev.tsv: SHA-256 is "},
		"a row less":     {[]member{{"RTE/train.tsv", rteDev}, good[1]}, nil, "FRESH/train.tsv: 1 examples, want 2"},
		"other form":     {[]member{{"RTE/train.tsv", "hello\n"}, good[1]}, nil, `FRESH/train.tsv:1: no column "sentence1" in the header`},
		"no zip":         {nil, func(h *host) { h.files["data/RTE.zip"] = h.files["data/RTE.zip"][:22] }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, r, named := tinyRTE(t, c.members...)
			if c.spoil != nil {
				c.spoil(h)
			}
			dir := t.TempDir()
			_, err := r.fetch(t.Context(), dir, named, FetchOptions{Host: h.url})
			if err == nil {
				t.Fatal("fetched")
			}
			got := err.Error()
			if at := strings.Index(got, ".RTE-"); at >= 0 && strings.HasPrefix(got, dir) {
				got = "FRESH" + got[at+strings.IndexByte(got[at:], '/'):]
			}
			if !strings.HasPrefix(got, c.want) || strings.Contains(got, "\n") {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if left := names(t, dir); strings.Contains(strings.ReplaceAll(left, ".RTE.partial", ""), "RTE") {
				t.Errorf("left %s", left)
			}
		})
	}
	sample, err := task.Lookup(task.Sample)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), t.TempDir(), sample, FetchOptions{}); err == nil || err.Error() != "task sample is not published, there is nothing to fetch" {
		t.Errorf("sample: %v", err)
	}
}

func TestUnzipBoundsWhatItInflates(t *testing.T) {
	b := zipOf(t, member{"a", strings.Repeat("0", 1<<20)})
	archive, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a")
	if err := unzipOne(archive, "a", path, 1000); err == nil || err.Error() != "a: larger than 1000 bytes" {
		t.Errorf("got %v", err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Size() > 1001 {
		t.Errorf("%v, %v", stat, err)
	}
}

func TestAssembleMRPC(t *testing.T) {
	const header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
	train, dev, err := splitMRPC([]byte(header+"1\t1\t2\ta\tb\n0\t3\t4\t\"c\td\n1\t5\t6\te \tf\n0\t2\t1\tg\th\n"), []byte("5\t6\n1\t2\n"))
	if err != nil || string(train) != header+"0\t3\t4\t\"c\td\n0\t2\t1\tg\th\n" || string(dev) != header+"1\t1\t2\ta\tb\n1\t5\t6\te \tf\n" {
		t.Errorf("%q, %q, %v", train, dev, err)
	}
	test, err := hideMRPC([]byte(header + "1\t1\t2\ta\tb\n0\t3\t4\tc\td\n"))
	if want := "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n1\t3\t4\tc\td\n"; err != nil || string(test) != want {
		t.Errorf("%q, %v", test, err)
	}
	if _, _, err := splitMRPC([]byte(header+"1\t2\n"), nil); err == nil || err.Error() != mrpcTrain+":2: 2 columns, want 5" {
		t.Errorf("got %v", err)
	}
	if _, err := hideMRPC([]byte(header + "1\n")); err == nil || err.Error() != mrpcTest+":2: 1 column, want 5" {
		t.Errorf("got %v", err)
	}
}

// Every official file of every task is in the table, and only those.
func TestReleasesAreTheTasks(t *testing.T) {
	if got := len(Published()); got != 10 || got != len(releases) {
		t.Errorf("%d tasks, %d releases", got, len(releases))
	}
	for _, named := range Published() {
		var want, got []string
		for _, f := range layouts[named.Name].files {
			if f.split != task.TrainSubset {
				want = append(want, f.name)
			}
		}
		for _, f := range releases[named.Name].files {
			got = append(got, f.name)
			if (f.sha256 == "") == (f.examples == 0) || f.sha256 != "" && len(f.sha256) != 64 {
				t.Errorf("%s: %+v", named.Name, f)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", named.Name, got, want)
		}
	}
}

// TestFetchOfficialFiles packs the files of the GLUE folder that GLUE_DIR names as GLUE packs them, serves that, and
// fetches every task whose files are all there: what comes out has the checksums of the table.
func TestFetchOfficialFiles(t *testing.T) {
	source := os.Getenv("GLUE_DIR")
	if source == "" {
		t.Skip("GLUE_DIR is not set")
	}
	for _, named := range Published() {
		t.Run(named.Name, func(t *testing.T) {
			r := releases[named.Name]
			if err := r.verify(Folder(source).Of(named), named); err != nil {
				t.Skip(err)
			}
			files := map[string][]byte{}
			read := func(name string) []byte { return []byte(content(t, filepath.Join(Folder(source).Of(named), name))) }
			switch {
			case named.Name == "MRPC":
				files[mrpcTrain], files[mrpcDevIDs] = joinMRPC(read("train.tsv"), read("dev.tsv"))
				files[mrpcTest] = showMRPC(read("test.tsv"))
				if got, want := len(files[mrpcTrain]), r.downloads[0].Size; int64(got) != want {
					t.Errorf("the joined corpus has %d bytes, the published one %d", got, want)
				}
				if got, want := len(files[mrpcTest]), r.downloads[1].Size; int64(got) != want {
					t.Errorf("the test part has %d bytes, the published one %d", got, want)
				}
				if got, want := len(files[mrpcDevIDs]), r.downloads[2].Size; int64(got) != want {
					t.Errorf("the dev ids have %d bytes, the published ones %d", got, want)
				}
			case len(r.files) == 1:
				files[r.downloads[0].Name] = read(r.files[0].name)
			default:
				var members []member
				for _, f := range r.files {
					members = append(members, member{layouts[named.Name].folder + "/" + f.name, string(read(f.name))})
				}
				files[r.downloads[0].Name] = zipOf(t, members...)
			}
			h := startHost(t, files)
			var names []string
			for _, file := range r.downloads {
				names = append(names, file.Name)
			}
			r.downloads = h.downloads(names...)
			dir := t.TempDir()
			if _, err := r.fetch(t.Context(), dir, named, FetchOptions{Host: h.url}); err != nil {
				t.Fatal(err)
			}
			if err := r.verify(Folder(dir).Of(named), named); err != nil {
				t.Error(err)
			}
		})
	}
}

// joinMRPC puts dev rows between train rows, and lists their ids in another order.
func joinMRPC(train, dev []byte) (corpus, ids []byte) {
	trainRows, devRows := bytes.SplitAfter(train, []byte("\n")), bytes.SplitAfter(dev, []byte("\n"))
	corpus = append(corpus, trainRows[0]...)
	for i := 1; i < max(len(trainRows), len(devRows)); i++ {
		if i < len(devRows) {
			corpus = append(corpus, devRows[i]...)
		}
		if i < len(trainRows) {
			corpus = append(corpus, trainRows[i]...)
		}
	}
	for _, row := range slices.Backward(devRows[1:]) {
		if columns := bytes.Split(row, []byte("\t")); len(columns) > 2 {
			ids = fmt.Appendf(ids, "%s\t%s\n", columns[1], columns[2])
		}
	}
	return corpus, ids
}

// showMRPC gives the test rows some label again.
func showMRPC(test []byte) []byte {
	corpus := []byte("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n")
	for _, row := range bytes.SplitAfter(test, []byte("\n"))[1:] {
		if _, rest, ok := bytes.Cut(row, []byte("\t")); ok {
			corpus = fmt.Appendf(corpus, "1\t%s", rest)
		}
	}
	return corpus
}

func TestFetchTaskFromADeadHost(t *testing.T) {
	_, r, named := tinyRTE(t)
	t.Setenv("HF_HUB_OFFLINE", "0")
	_, err := r.fetch(t.Context(), t.TempDir(), named, FetchOptions{Host: "http://127.0.0.1:1"})
	if err == nil || !strings.HasSuffix(err.Error(), "connection refused") || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Offline, no host is asked; what is there is found.
func TestFetchTaskOffline(t *testing.T) {
	h, r, named := tinyRTE(t, member{"RTE/train.tsv", rteTrain}, member{"RTE/dev.tsv", rteDev})
	o, empty, filled := FetchOptions{Host: h.url}, t.TempDir(), t.TempDir()
	if _, err := r.fetch(t.Context(), filled, named, o); err != nil {
		t.Fatal(err)
	}
	h.requests = nil
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("TRANSFORMERS_OFFLINE", "Yes")
	_, err := r.fetch(t.Context(), empty, named, o)
	if !errors.Is(err, download.ErrOffline) || err.Error() != "TRANSFORMERS_OFFLINE is set: nothing is downloaded" || len(h.requests) > 0 || names(t, empty) != "" {
		t.Errorf("%v, requests %q, left %q", err, h.requests, names(t, empty))
	}
	if already, err := r.fetch(t.Context(), filled, named, o); err != nil || !already {
		t.Errorf("what is there: %t, %v", already, err)
	}
}
