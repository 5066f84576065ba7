package hf

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestResolve(t *testing.T) {
	models := isolate(t)
	t.Chdir(t.TempDir())
	fetched := filepath.Join(models, "minilm")
	// A folder here that happens to be called minilm holds no model.
	for _, dir := range []string{"folder", "bare", "minilm", fetched} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeText(t, filepath.Join("folder", "config.json"), "{}")
	snapshot := writeSnapshot(t, hubCache())
	refs := filepath.Join(filepath.Dir(filepath.Dir(snapshot)), "refs")
	if err := os.MkdirAll(filepath.Join(refs, "pr"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(refs, "pr", "7"), "c0ffee\n")
	for ref, want := range map[string]string{
		"folder":               "folder",
		"./folder":             "./folder",
		"minilm":               fetched,
		HubName("minilm"):      fetched,
		"some-org/tiny":        snapshot,
		"some-org/tiny@main":   snapshot,
		"some-org/tiny@pr/7":   snapshot,
		"some-org/tiny@c0ffee": snapshot,
	} {
		if got, err := Resolve(ref); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", ref, got, err, want)
		}
	}

	os.RemoveAll(fetched)
	writeText(t, "file", "")
	writeText(t, filepath.Join(refs, "evil"), "../../..")
	cache := hubCache()
	for ref, want := range map[string]string{
		"minilm":              `model "minilm" not found (looked at minilm, ` + fetched + `): bring it with: finetune fetch minilm`,
		"minlm":               `model "minlm" not found (looked at minlm, ` + cache + `/models--minlm/snapshots/main): did you mean "minilm"?`,
		"some-org/none":       `model "some-org/none" not found (looked at some-org/none, ` + cache + `/models--some-org--none/snapshots/main): bring it with: finetune fetch some-org/none`,
		"some-org/tiny@v2":    `model "some-org/tiny@v2" not found (looked at some-org/tiny@v2, ` + cache + `/models--some-org--tiny/snapshots/v2): bring it with: finetune fetch some-org/tiny@v2`,
		"some-org/tiny@../..": `model "some-org/tiny@../.." not found (looked at some-org/tiny@../..): no such folder`,
		"some-org/tiny@evil":  filepath.Join(refs, "evil") + ": does not hold a commit",
		"../none":             `model "../none" not found (looked at ../none): no such folder`,
		"":                    `model "" not found (looked at ): no such folder`,
		"file":                "file: is a file, want a model's folder",
		"bare":                "bare: holds no config.json, want a model's folder",
	} {
		if _, err := Resolve(ref); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", ref, err, want)
		}
	}
	if _, err := Resolve("minilm"); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("%T", err)
	}
}

func TestPlaces(t *testing.T) {
	isolate(t)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "/h")
	expect := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	expect(modelsDir(), "/h/.cache/metatt/models")
	expect(hubCache(), "/h/.cache/huggingface/hub")
	t.Setenv("XDG_CACHE_HOME", "/x")
	expect(modelsDir(), "/x/metatt/models")
	expect(hubCache(), "/x/huggingface/hub")
	t.Setenv("METATT_HOME", "/m")
	t.Setenv("HF_HOME", "/f")
	expect(modelsDir(), "/m/models")
	expect(hubCache(), "/f/hub")
	t.Setenv("HF_HUB_CACHE", "/c")
	expect(hubCache(), "/c")
}
