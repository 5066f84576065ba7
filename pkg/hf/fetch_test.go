package hf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/download"
)

// tinyFiles are a model's files as every source of these tests has them;
// nothing in them compresses, so that a transfer can break in the middle.
var tinyFiles = map[string][]byte{
	"config.json":       []byte(`{"model_type":"bert"}`),
	"model.safetensors": noise(300_007),
	"vocab.txt":         []byte("[PAD]\n[UNK]\n"),
}

func noise(n int) []byte {
	var b []byte
	for block := sha256.Sum256(nil); len(b) < n; block = sha256.Sum256(block[:]) {
		b = append(b, block[:]...)
	}
	return b[:n]
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

const tinyRepo = "some-org/tiny"

func tinyModel(packages ...pythonPackage) knownModel {
	model := knownModel{repo: tinyRepo, packages: packages}
	for _, name := range []string{"config.json", "model.safetensors", "vocab.txt"} {
		content := tinyFiles[name]
		model.files = append(model.files, download.File{Name: name, Size: int64(len(content)), Digest: sum(content), Optional: name == "vocab.txt"})
	}
	return model
}

// isolate gives a test a home of its own and a hub that refuses connections,
// and returns the folder that models are put in.
func isolate(t *testing.T) (models string) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "METATT_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
	return filepath.Join(home, "cache", "metatt", "models")
}

// serve starts a hub and points HF_ENDPOINT at it.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("HF_ENDPOINT", server.URL+"/")
	return server
}

// serveTiny answers as the hub does, ranges included.
func serveTiny(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/"+tinyRepo+"/resolve/main/")
	content, known := tinyFiles[name]
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, name, time.Time{}, strings.NewReader(string(content)))
}

func expectTiny(t *testing.T, got Fetched, err error, source string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got.Source != source {
		t.Errorf("source %q, want %q", got.Source, source)
	}
	for name, want := range tinyFiles {
		if content, err := os.ReadFile(filepath.Join(got.Dir, name)); err != nil || string(content) != string(want) {
			t.Errorf("%s: %v, %d bytes", name, err, len(content))
		}
	}
	if files, _ := os.ReadDir(got.Dir); len(files) != len(tinyFiles) {
		t.Errorf("files in the folder: %v", files)
	}
	if dir, err := os.ReadDir(filepath.Dir(got.Dir)); err != nil || len(dir) != 2 { // the model and the lock
		t.Errorf("left beside the model: %v, %v", dir, err)
	}
}

func TestFetchFromTheHub(t *testing.T) {
	models := isolate(t)
	requests := 0
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) { requests++; serveTiny(w, r) })
	var progress []int64
	opts := FetchOptions{Progress: func(done, total int64) {
		if total != 300_040 {
			t.Errorf("total %d", total)
		}
		progress = append(progress, done)
	}}
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(), opts)
	expectTiny(t, got, err, hub.URL)
	if got.Dir != filepath.Join(models, "tiny") || requests != 3 {
		t.Errorf("in %s by %d requests", got.Dir, requests)
	}
	if !slices.IsSorted(progress) || progress[len(progress)-1] != 300_040 {
		t.Errorf("progress %v", progress)
	}

	got, err = fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, "")
	if requests != 3 {
		t.Errorf("what was there was asked for again")
	}

	// A damaged copy is replaced.
	writeText(t, filepath.Join(got.Dir, "model.safetensors"), "damaged")
	got, err = fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, hub.URL)
}

func TestFetchResumesABrokenTransfer(t *testing.T) {
	isolate(t)
	var ranges []string
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "model.safetensors") {
			ranges = append(ranges, r.Header.Get("Range"))
			if len(ranges) < 3 {
				w = &breaking{ResponseWriter: w, left: 100_000}
			}
		}
		serveTiny(w, r)
	})
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, hub.URL)
	if want := []string{"", "bytes=100000-", "bytes=200000-"}; !slices.Equal(ranges, want) {
		t.Errorf("ranges %q, want %q", ranges, want)
	}
}

// breaking drops the connection after some bytes of the body.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestFetchResumesAnEarlierRun(t *testing.T) {
	models := isolate(t)
	ctx, cancel := context.WithCancel(t.Context())
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "model.safetensors") {
			w.Write(tinyFiles["model.safetensors"][:100_000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		serveTiny(w, r)
	})
	_, err := fetchKnown(ctx, "tiny", tinyModel(), FetchOptions{Progress: func(done, _ int64) {
		if done == 100_021 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	if isDir(filepath.Join(models, "tiny")) {
		t.Fatal("half a model appeared")
	}

	var requests []string
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, filepath.Base(r.URL.Path)+" "+r.Header.Get("Range"))
		serveTiny(w, r)
	})
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, hub.URL)
	if want := []string{"model.safetensors bytes=100000-", "vocab.txt "}; !slices.Equal(requests, want) {
		t.Errorf("requests %q, want %q", requests, want)
	}
}

func TestFetchStartsAgainWhenWhatItResumedWasWrong(t *testing.T) {
	models := isolate(t)
	hub := serve(t, serveTiny)
	stage := filepath.Join(models, ".tiny.partial")
	if err := os.MkdirAll(stage, 0o755); err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(stage, "model.safetensors.incomplete"), "not its first bytes")
	writeText(t, filepath.Join(stage, "config.json.incomplete"), strings.Repeat("longer than the file", 10))
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, hub.URL)
}

func TestFetchRefusesWrongContent(t *testing.T) {
	damaged := slices.Clone(tinyFiles["model.safetensors"])
	damaged[len(damaged)/2] ^= 1
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"one bit":  {damaged, "model.safetensors: SHA-256 is " + sum(damaged) + ", want " + sum(tinyFiles["model.safetensors"])},
		"too long": {append(slices.Clone(tinyFiles["model.safetensors"]), 0), "model.safetensors: longer than its 300007 bytes"},
		"short":    {damaged[:1000], "model.safetensors: 1000 bytes, want 300007"},
	} {
		t.Run(name, func(t *testing.T) {
			models := isolate(t)
			hub := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "model.safetensors") {
					w.Write(c.content)
					return
				}
				serveTiny(w, r)
			})
			_, err := fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
			if err == nil || !strings.HasSuffix(err.Error(), "; "+hub.URL+": "+c.want) {
				t.Errorf("got %v, want … %s", err, c.want)
			}
			if name == "one bit" != errors.As(err, new(*download.ChecksumError)) {
				t.Errorf("%v: wrong type", err)
			}
			if isDir(filepath.Join(models, "tiny")) {
				t.Error("a model appeared")
			}
			if _, err := os.Stat(filepath.Join(models, ".tiny.partial", "model.safetensors.incomplete")); err == nil {
				t.Error("wrong bytes are kept to be resumed")
			}
		})
	}
}

func TestFetchNamesEverySourceThatFailed(t *testing.T) {
	isolate(t)
	hub := serve(t, http.NotFound)
	_, err := fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	want := fmt.Sprintf("cannot fetch tiny: Hugging Face cache: some-org/tiny is not in %s; %s: config.json: 404 Not Found: file does not exist", hubCache(), hub.URL)
	if err == nil || err.Error() != want || !errors.As(err, new(*FetchError)) {
		t.Errorf("got %v\nwant %s", err, want)
	}

	t.Setenv("HF_HUB_OFFLINE", "1")
	if _, err = fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{}); err == nil || !strings.HasSuffix(err.Error(), "download: HF_HUB_OFFLINE is set: nothing is downloaded") {
		t.Errorf("offline: %v", err)
	}

	if _, err := Fetch(t.Context(), "minlm", FetchOptions{}); err == nil || err.Error() != `unknown model "minlm": did you mean minilm?` {
		t.Errorf("unknown: %v", err)
	}
}

// A hub may be dead in three ways: nobody listens, it accepts and says
// nothing, it stops in the middle.
func TestDeadHub(t *testing.T) {
	if download.Patience > 5*time.Second {
		t.Errorf("a dead hub costs %s", download.Patience)
	}
	isolate(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	stuck := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("{"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:1":             "connection refused",
		"http://" + mute.Addr().String(): "no answer within 50ms",
		stuck.URL:                        "no answer within 50ms",
	} {
		start := time.Now()
		h := &hub{endpoint: endpoint, client: &download.Client{Patience: 50 * time.Millisecond}}
		err := h.bring(t.Context(), tinyRepo, &download.Stage{Dir: t.TempDir(), Files: tinyModel().files})
		if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want … %s", endpoint, err, want)
		}
		if endpoint != stuck.URL { // which has answered before it falls silent
			if _, _, err := h.describe(t.Context(), tinyRepo, "main", "config.json"); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: got %v, want … %s", endpoint, err, want)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: %s", endpoint, took)
		}
	}
}

func TestTokenStaysWithTheHub(t *testing.T) {
	isolate(t)
	t.Setenv("HF_TOKEN", "secret")
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the token went to %s", r.Host)
		}
		serveTiny(w, r)
	}))
	defer storage.Close()
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("Authorization %q", got)
		}
		// First to another path of the hub, which needs the token as well.
		if !r.URL.Query().Has("moved") {
			http.Redirect(w, r, r.URL.Path+"?moved", http.StatusTemporaryRedirect)
			return
		}
		http.Redirect(w, r, storage.URL+r.URL.Path, http.StatusFound)
	})
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, hub.URL)
}

func TestFetchFromTheHuggingFaceCache(t *testing.T) {
	isolate(t)
	snapshot := writeSnapshot(t, hubCache())
	got, err := fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, "Hugging Face cache")

	// One that does not hold the known bytes is passed over.
	hub := serve(t, serveTiny)
	os.RemoveAll(got.Dir)
	writeText(t, filepath.Join(snapshot, "config.json"), "{}")
	got, err = fetchKnown(t.Context(), "tiny", tinyModel(), FetchOptions{})
	expectTiny(t, got, err, hub.URL)
}

// writeSnapshot lays the tiny model out as huggingface_hub does: blobs, links
// to them, and a branch that names the commit.
func writeSnapshot(t *testing.T, cache string) (snapshot string) {
	t.Helper()
	model := filepath.Join(cache, "models--some-org--tiny")
	snapshot = filepath.Join(model, "snapshots", "c0ffee")
	for _, dir := range []string{snapshot, filepath.Join(model, "blobs"), filepath.Join(model, "refs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range tinyFiles {
		writeText(t, filepath.Join(model, "blobs", sum(content)), string(content))
		if err := os.Symlink("../../blobs/"+sum(content), filepath.Join(snapshot, name)); err != nil {
			t.Fatal(err)
		}
	}
	writeText(t, filepath.Join(model, "refs", "main"), "c0ffee")
	return snapshot
}
