package glue

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	const advice = "; bring it with: finetune fetch glue; or set one of them to a folder that holds MRPC/train.tsv and the like, or choose task=sample, which needs none"
	const folders = "CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI, diagnostic"
	here := filepath.Join("testdata", "glue")
	empty := t.TempDir()
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		configured, env, standard string
		want, problem             string
	}{
		{here, "nowhere", "nowhere", here, ""},
		{"", here, "nowhere", here, ""},
		{"", "", here, here, ""},
		{"nowhere", here, here, "", "data.glue is nowhere, which does not exist"},
		{"", "nowhere", here, "", "GLUE_DIR is nowhere, which does not exist"},
		{"", "", "nowhere", "", "data.glue and GLUE_DIR are not set and nowhere does not exist"},
		{"folder.go", "", here, "", "data.glue is folder.go, which is not a folder"},
		{"", empty, here, "", "GLUE_DIR is " + empty + ", which has none of the folders " + folders},
		{loop, "", here, "", "data.glue is " + loop + ", which cannot be read (too many levels of symbolic links)"},
	} {
		got, err := Find(c.configured, c.env, c.standard)
		if c.problem == "" {
			if err != nil || got != Folder(c.want) {
				t.Errorf("Find(%q, %q, %q) = %q, %v; want %q", c.configured, c.env, c.standard, got, err, c.want)
			}
			continue
		}
		if want := "no GLUE folder: " + c.problem + advice; err == nil || err.Error() != want {
			t.Errorf("Find(%q, %q, %q): %v, want %s", c.configured, c.env, c.standard, err, want)
		}
	}
}
