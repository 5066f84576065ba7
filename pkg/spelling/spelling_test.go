package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	present := []string{"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight", "pooler.dense.bias", "pooler.dense.weight", "train", ""}
	for word, want := range map[string]string{
		"bert.embeddings.word_embeddings.weight": "embeddings.word_embeddings.weight",
		"pooler.dense.wieght":                    "pooler.dense.weight",
		"pooler.dense.bias":                      "pooler.dense.bias",
		"Train":                                  "train",
		"trian":                                  "train",
		"classifier.weight":                      "",
		"tr":                                     "",
		"":                                       "",
		strings.Repeat("x", 1<<20):               "",
	} {
		if got := Nearest(word, present); got != want {
			t.Errorf("%.50q: got %q, want %q", word, got, want)
		}
	}
	if got := Nearest("abcdef", []string{"abcdxx", "abcdeg", "abcdeh"}); got != "abcdeg" {
		t.Errorf("the first of the nearest: got %q", got)
	}
}

func TestSlip(t *testing.T) {
	for _, c := range []struct {
		word, candidate string
		edits           int
		near            bool
	}{
		{"lr", "LR", 0, true}, {"rank", "rnak", 1, true}, {"warmup", "warmpu", 1, true}, {"epochs", "epoch", 1, true},
		{"epoch", "epochs", 1, true}, {"abcdef", "badcef", 2, true}, {"abcdefghi", "bacdefxh", 3, true},
		{"ab", "ba", 1, false}, {"sitting", "kitten", 3, false}, {"abc", "", 2, false}, {"", "", 1, false},
	} {
		edits, near := Slip(c.word, c.candidate)
		if edits != c.edits || near != c.near {
			t.Errorf("%q to %q: %d, %v, want %d, %v", c.word, c.candidate, edits, near, c.edits, c.near)
		}
	}
}
