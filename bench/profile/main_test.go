package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// A step's operations are in its table by phase, an evaluation's in its own.
func TestProfileRun(t *testing.T) {
	t.Chdir("../../pkg/run") // whose fixtures the configuration names
	var out bytes.Buffer
	if err := profileRun(t.Context(), []string{"-c", "testdata/tiny.yaml", "-steps", "2", "-warmup", "1", "-top", "500"}, &out); err != nil {
		t.Fatal(err)
	}
	training, evaluation, found := strings.Cut(out.String(), "\nan evaluation: ")
	if !found {
		t.Fatalf("no evaluation in\n%s", out.String())
	}
	for _, want := range []string{`forward aten::\w+\n`, `backward aten::\w+\n`, `backward all\n`, `no gradient all\n`, `% +outside operations\n`} {
		if !regexp.MustCompile(want).MatchString(training) {
			t.Errorf("no %s in\n%s", want, training)
		}
	}
	if strings.Contains(evaluation, "backward") || !strings.Contains(evaluation, "no gradient aten::") {
		t.Errorf("an evaluation is\n%s", evaluation)
	}
}

func TestProfileRunRefuses(t *testing.T) {
	for _, flags := range [][]string{{"-steps", "0"}, {"-warmup", "0"}} {
		if err := profileRun(t.Context(), flags, nil); err == nil {
			t.Errorf("%v is taken", flags)
		}
	}
	if err := profileRun(t.Context(), []string{"-c", "no-such.yaml"}, nil); err == nil {
		t.Error("a file that is not there is taken")
	}
}
