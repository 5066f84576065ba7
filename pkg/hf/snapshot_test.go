package hf

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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

const tinyCommit = "0123456789abcdef0123456789abcdef01234567"

// fakeHub answers as huggingface.co does: small files itself, under git's
// checksum, and weights by a redirect to another host, under their SHA-256.
type fakeHub struct {
	t        *testing.T
	url      string
	storage  *httptest.Server
	files    map[string][]byte
	token    string // without it the model does not exist
	spoil    func(name string, w http.ResponseWriter) http.ResponseWriter
	requests []string
}

func startHub(t *testing.T, files map[string][]byte) *fakeHub {
	t.Helper()
	isolate(t)
	h := &fakeHub{t: t, files: files}
	h.storage = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the token went to %s", r.Host)
		}
		h.send(w, r, strings.TrimPrefix(r.URL.Path, "/"))
	}))
	t.Cleanup(h.storage.Close)
	h.url = serve(t, h.answer).URL
	return h
}

func (h *fakeHub) answer(w http.ResponseWriter, r *http.Request) {
	request := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), "/"+tinyRepo+"/resolve/")
	if part := r.Header.Get("Range"); part != "" {
		request += " " + part
	}
	h.requests = append(h.requests, request)
	refuse := func(status int, code string) {
		w.Header().Set("X-Error-Code", code)
		w.Header().Set("X-Error-Message", "a message\nof two lines")
		w.WriteHeader(status)
	}
	if r.Header.Get("Authorization") != "Bearer "+h.token && h.token != "" {
		refuse(http.StatusUnauthorized, "RepoNotFound")
		return
	}
	// A renamed model's old name leads to the new one, on the same host.
	if rest, old := strings.CutPrefix(r.URL.Path, "/old-tiny/"); old {
		http.Redirect(w, r, "/"+tinyRepo+"/"+rest, http.StatusTemporaryRedirect)
		return
	}
	path, ours := strings.CutPrefix(r.URL.Path, "/"+tinyRepo+"/resolve/")
	at := strings.LastIndexByte(path, '/')
	if !ours || at < 0 {
		refuse(http.StatusNotFound, "RepoNotFound")
		return
	}
	if revision := path[:at]; !slices.Contains([]string{"main", "pr/7", tinyCommit}, revision) {
		refuse(http.StatusNotFound, "RevisionNotFound")
		return
	}
	name := path[at+1:]
	content, ok := h.files[name]
	w.Header().Set("X-Repo-Commit", tinyCommit)
	if !ok {
		refuse(http.StatusNotFound, "EntryNotFound")
		return
	}
	if strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".bin") {
		w.Header().Set("X-Linked-Etag", `"`+sum(content)+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
		http.Redirect(w, r, h.storage.URL+"/"+name, http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+blobSum(content)+`"`)
	h.send(w, r, name)
}

func (h *fakeHub) send(w http.ResponseWriter, r *http.Request, name string) {
	if h.spoil != nil && r.Method == http.MethodGet {
		w = h.spoil(name, w)
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(h.files[name])))
}

// blobSum is git's name of a file's content.
func blobSum(content []byte) string {
	s := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content))
	return hex.EncodeToString(s[:])
}

// hubFiles is a model that OpenCheckpoint reads, of weights that do not
// compress.
func hubFiles(t *testing.T) map[string][]byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	writeShard(t, path, "a", "b")
	weights, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"config.json": []byte(`{"model_type":"bert"}`), "model.safetensors": weights,
		"vocab.txt": []byte("[PAD]\n"), "tokenizer_config.json": []byte("{}"),
		"README.md": []byte("not needed"), "pytorch_model.bin": []byte("not needed either"),
	}
}

// expectSnapshot checks the cache's layout and content for those names.
func expectSnapshot(t *testing.T, got Fetched, err error, files map[string][]byte, names ...string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(hubCache(), "models--some-org--tiny")
	if want := filepath.Join(model, "snapshots", tinyCommit); got.Dir != want {
		t.Fatalf("in %s, want %s", got.Dir, want)
	}
	entries, err := os.ReadDir(got.Dir)
	if err != nil || len(entries) != len(names) {
		t.Errorf("%v, %v, want %v", entries, err, names)
	}
	for _, name := range names {
		etag := blobSum(files[name])
		if strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".bin") {
			etag = sum(files[name])
		}
		if link, err := os.Readlink(filepath.Join(got.Dir, name)); err != nil || link != "../../blobs/"+etag {
			t.Errorf("%s is %q, %v", name, link, err)
		}
		if content, err := os.ReadFile(filepath.Join(got.Dir, name)); err != nil || string(content) != string(files[name]) {
			t.Errorf("%s: %v, %d bytes", name, err, len(content))
		}
	}
	if blobs, _ := os.ReadDir(filepath.Join(model, "blobs")); len(blobs) != len(names) {
		t.Errorf("blobs: %v", blobs)
	}
}

func TestFetchByHubName(t *testing.T) {
	files := hubFiles(t)
	hub := startHub(t, files)
	var last, all int64
	got, err := Fetch(t.Context(), tinyRepo, FetchOptions{Progress: func(done, total int64) { last, all = done, total }})
	needed := []string{"config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}
	expectSnapshot(t, got, err, files, needed...)
	if got.Source != hub.url || !got.Verified {
		t.Errorf("%+v", got)
	}
	want := int64(0)
	for _, name := range needed {
		want += int64(len(files[name]))
	}
	if last != want || all != want {
		t.Errorf("progress ends at %d of %d, want %d", last, all, want)
	}
	if dir, err := Resolve(tinyRepo); err != nil || dir != got.Dir {
		t.Errorf("resolved to %s, %v", dir, err)
	}
	// All but the first request name the commit.
	if hub.requests[0] != "HEAD main/config.json" || strings.Contains(strings.Join(hub.requests[1:], " "), "main/") {
		t.Errorf("requests %q", hub.requests)
	}

	// What is there is not downloaded again.
	hub.requests = nil
	got, err = Fetch(t.Context(), tinyRepo+"@main", FetchOptions{})
	expectSnapshot(t, got, err, files, needed...)
	if slices.ContainsFunc(hub.requests, func(r string) bool { return strings.HasPrefix(r, "GET") }) {
		t.Errorf("requests %q", hub.requests)
	}

	// Another name of the same commit, and the commit itself.
	for _, revision := range []string{"pr/7", tinyCommit} {
		got, err = Fetch(t.Context(), tinyRepo+"@"+revision, FetchOptions{})
		expectSnapshot(t, got, err, files, needed...)
		if dir, err := Resolve(tinyRepo + "@" + revision); err != nil || dir != got.Dir {
			t.Errorf("%s: resolved to %s, %v", revision, dir, err)
		}
	}
	if !slices.Contains(hub.requests, "HEAD pr%2F7/config.json") {
		t.Errorf("requests %q", hub.requests)
	}

	// A bare name keeps its own place in the cache, wherever the hub finds it.
	if got, err := Fetch(t.Context(), "old-tiny", FetchOptions{}); err != nil || got.Dir != filepath.Join(hubCache(), "models--old-tiny", "snapshots", tinyCommit) {
		t.Errorf("bare name: %+v, %v", got, err)
	}
	if _, err := Resolve("old-tiny"); err != nil {
		t.Error(err)
	}

	// A damaged blob is replaced.
	blob := filepath.Join(filepath.Dir(filepath.Dir(got.Dir)), "blobs", sum(files["model.safetensors"]))
	writeText(t, blob, "damaged")
	got, err = Fetch(t.Context(), tinyRepo, FetchOptions{})
	expectSnapshot(t, got, err, files, needed...)
}

func TestFetchShardsByHubName(t *testing.T) {
	files := hubFiles(t)
	weights := files["model.safetensors"]
	delete(files, "model.safetensors")
	files["a.safetensors"] = weights
	const index = "model.safetensors.index.json"
	files[index] = []byte(`{"weight_map":{"a":"a.safetensors","b":"a.safetensors"}}`)
	hub := startHub(t, files)
	got, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
	expectSnapshot(t, got, err, files, "a.safetensors", "config.json", index, "tokenizer_config.json", "vocab.txt")

	for text, want := range map[string]string{
		`{"weight_map":{"a":"../../x.safetensors"}}`: index + `: weight_map: tensor "a": "../../x.safetensors" is not the name of a .safetensors file of this folder`,
		`{"weight_map":{"a":"x.safetensors"}}`:       index + " names x.safetensors, which the model does not have",
		`{`:                                          index + ": byte 1: unexpected EOF",
	} {
		os.RemoveAll(hubCache())
		files[index] = []byte(text)
		_, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
		if full := "cannot fetch some-org/tiny: " + hub.url + ": " + want + "; Hugging Face cache: some-org/tiny is not in " + hubCache(); err == nil || err.Error() != full {
			t.Errorf("got %v\nwant %s", err, full)
		}
	}
}

func TestFetchPickledByHubName(t *testing.T) {
	files := hubFiles(t)
	delete(files, "model.safetensors")
	startHub(t, files)
	got, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
	expectSnapshot(t, got, err, files, "config.json", "pytorch_model.bin", "tokenizer_config.json", "vocab.txt")
}

func TestFetchByHubNameResumes(t *testing.T) {
	files := hubFiles(t)
	files["model.safetensors"] = noise(300_007)
	hub := startHub(t, files)
	broken := 0
	hub.spoil = func(name string, w http.ResponseWriter) http.ResponseWriter {
		if name == "model.safetensors" && broken < 2 {
			broken++
			return &breaking{ResponseWriter: w, left: 100_000}
		}
		return w
	}
	got, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
	expectSnapshot(t, got, err, files, "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
	var ranges []string
	for _, request := range hub.requests {
		if rest, ok := strings.CutPrefix(request, "GET "+tinyCommit+"/model.safetensors"); ok {
			ranges = append(ranges, rest)
		}
	}
	if want := []string{"", " bytes=100000-", " bytes=200000-"}; !slices.Equal(ranges, want) {
		t.Errorf("ranges %q, want %q", ranges, want)
	}
}

func TestFetchByHubNameRefusesWrongContent(t *testing.T) {
	for _, name := range []string{"model.safetensors", "vocab.txt"} {
		files := hubFiles(t)
		hub := startHub(t, files)
		hub.spoil = func(sent string, w http.ResponseWriter) http.ResponseWriter {
			if sent == name {
				return flipping{w}
			}
			return w
		}
		_, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
		if wrong := (*download.ChecksumError)(nil); !errors.As(err, &wrong) || wrong.File != name || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := Resolve(tinyRepo); !errors.As(err, new(*NotFoundError)) {
			t.Errorf("half a model is resolved: %v", err)
		}
	}
}

// flipping changes a bit of every body.
type flipping struct{ http.ResponseWriter }

func (f flipping) Write(p []byte) (int, error) {
	q := slices.Clone(p)
	q[0] ^= 1
	return f.ResponseWriter.Write(q)
}

func TestFetchPrivateModel(t *testing.T) {
	files := hubFiles(t)
	hub := startHub(t, files)
	hub.token = "secret"
	t.Setenv("HF_TOKEN", "secret")
	got, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
	expectSnapshot(t, got, err, files, "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
}

func TestFetchSaysWhatTheHubMeans(t *testing.T) {
	for name, c := range map[string]struct {
		ref    string
		change func(*fakeHub)
		want   string
	}{
		"no model":      {"some-org/none", nil, "config.json: 404 Not Found: there is no such model, or it is private: then set HF_TOKEN"},
		"bare name":     {"none-such", nil, "config.json: 404 Not Found: there is no such model, or it is private: then set HF_TOKEN"},
		"private":       {tinyRepo, func(h *fakeHub) { h.token = "x" }, "config.json: 401 Unauthorized: there is no such model, or it is private: then set HF_TOKEN"},
		"wrong token":   {tinyRepo, func(h *fakeHub) { h.token = "x"; h.t.Setenv("HF_TOKEN", "y") }, "config.json: 401 Unauthorized: HF_TOKEN is not valid"},
		"no revision":   {tinyRepo + "@v2", nil, "config.json: 404 Not Found: the model has no such revision"},
		"no config":     {tinyRepo, func(h *fakeHub) { delete(h.files, "config.json") }, "config.json: 404 Not Found: file does not exist"},
		"no weights":    {tinyRepo, func(h *fakeHub) { delete(h.files, "model.safetensors"); delete(h.files, "pytorch_model.bin") }, "the model has none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json"},
		"offline":       {tinyRepo, func(h *fakeHub) { h.t.Setenv("HF_HUB_OFFLINE", "1") }, "HF_HUB_OFFLINE is set: nothing is downloaded"},
		"a web page":    {tinyRepo, func(h *fakeHub) { serve(h.t, func(http.ResponseWriter, *http.Request) {}) }, `config.json: the answer is not a Hugging Face hub's: X-Repo-Commit is "", want a commit`},
		"hostile etag":  {tinyRepo, answering("ETag", `"../../../x"`, "Content-Length", "1"), `config.json: the ETag "../../../x" is no checksum`},
		"hostile size":  {tinyRepo, answering("ETag", `"`+blobSum(nil)+`"`, "X-Linked-Size", "9223372036854775807"), `config.json: the size "9223372036854775807" is none`},
		"negative size": {tinyRepo, answering("ETag", `"`+blobSum(nil)+`"`, "X-Linked-Size", "-1"), `config.json: the size "-1" is none`},
		"gated": {tinyRepo, func(h *fakeHub) {
			serve(h.t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Error-Code", "GatedRepo")
				w.WriteHeader(403)
			})
		}, "config.json: 403 Forbidden: the model is gated: ask for access on its page, then set HF_TOKEN"},
		"out of order": {tinyRepo, func(h *fakeHub) { serve(h.t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }) }, "config.json: 503 Service Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := startHub(t, maps.Clone(hubFiles(t)))
			if c.change != nil {
				c.change(hub)
			}
			_, err := Fetch(t.Context(), c.ref, FetchOptions{})
			repo, _, _ := strings.Cut(c.ref, "@")
			want := fmt.Sprintf("cannot fetch %s: %s: %s; Hugging Face cache: %s is not in %s", repo, strings.TrimSuffix(os.Getenv("HF_ENDPOINT"), "/"), c.want, repo, hubCache())
			if err == nil || err.Error() != want || !errors.As(err, new(*FetchError)) {
				t.Errorf("got %v\nwant %s", err, want)
			}
			if _, err := os.Stat(hubCache()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("what was not fetched left a trace: %v", err)
			}
		})
	}
	for name, want := range map[string]string{
		"minlm": `unknown model "minlm": did you mean minilm?`,
		"../x":  `unknown model "../x": want minilm, or owner/name[@revision] of a model on the Hugging Face hub`,
	} {
		if _, err := Fetch(t.Context(), name, FetchOptions{}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// answering makes the hub answer everything with those headers.
func answering(headers ...string) func(*fakeHub) {
	return func(h *fakeHub) {
		serve(h.t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Repo-Commit", tinyCommit)
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
		})
	}
}

// A hub that cannot be asked leaves what is in the cache, if that is all of it.
func TestFetchFallsBackToTheCachedSnapshot(t *testing.T) {
	files := hubFiles(t)
	startHub(t, files)
	got, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range [][2]string{{"HF_HUB_OFFLINE", "1"}, {"HF_ENDPOINT", "http://127.0.0.1:1"}} {
		t.Run(setting[0], func(t *testing.T) {
			t.Setenv(setting[0], setting[1])
			again, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
			if err != nil || again.Dir != got.Dir || again.Source != "" || again.Verified || again.Why == nil {
				t.Errorf("%+v, %v", again, err)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Error-Code", "RepoNotFound")
			w.WriteHeader(http.StatusNotFound)
		})
		again, err := Fetch(t.Context(), tinyRepo, FetchOptions{})
		if err != nil || again.Dir != got.Dir || again.Why == nil || !strings.Contains(again.Why.Error(), "there is no such model") {
			t.Errorf("%+v, %v", again, err)
		}
	})
	t.Setenv("HF_HUB_OFFLINE", "1")
	os.Remove(filepath.Join(got.Dir, "model.safetensors"))
	if _, err := Fetch(t.Context(), tinyRepo, FetchOptions{}); err == nil || !strings.Contains(err.Error(), "holds none of model.safetensors") {
		t.Errorf("half a snapshot: %v", err)
	}
}
