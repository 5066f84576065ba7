package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// offered are the completions of a command line whose last word is being typed, without what is said of each.
func offered(t *testing.T, args ...string) (offers []string, directive cobra.ShellCompDirective) {
	t.Helper()
	got := command(t, t.Context(), backend{}, 0, nil, append([]string{"__complete"}, args...)...)
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	if _, err := fmt.Sscanf(lines[len(lines)-1], ":%d", &directive); got.code != 0 || err != nil {
		t.Fatalf("%q: %+v", args, got)
	}
	for _, line := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(line, "\t")
		offers = append(offers, word)
	}
	return offers, directive
}

// Keys are offered by sections, then whole, then their values; runs and configurations where they are asked for.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"runs/a/config.yaml", "runs/a/adapter/last/x", "runs/b/config.yaml", "other/c/config.yaml", "data/train.csv", ".hidden/config.yaml"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, test := range []struct {
		args, want string
		directive  cobra.ShellCompDirective
	}{
		{"train ", "task= tasks. model. data. adapter. train. dmrg. run. device= threads=", goOn},
		{"train t", "task= tasks. train. threads=", goOn},
		{"train train.lr", "train.lr=", goOn},
		{"train run.l", "run.log_every=", goOn},
		{"train adapter.append.g", "adapter.append.grow=", goOn},
		{"train tasks.rte.", "tasks.rte.lr= tasks.rte.weight= tasks.rte.limit=", goOn},
		{"train nothing", "", goOn},
		{"train adapter.method=metatt", "adapter.method=metatt4d adapter.method=metatt5d", whole},
		{"train model.dtype=", "model.dtype=fp32 model.dtype=bf16 model.dtype=tf32 model.dtype=auto", whole},
		{"train data.shuffle=", "data.shuffle=true data.shuffle=false", whole},
		{"train train.checkpoint_every=n", "train.checkpoint_every=never", whole},
		{"train train.eval_every=", "train.eval_every=epoch", whole},
		{"train train.mixture=u", "train.mixture=uniform", whole},
		{"train train.best_metric=acc", "train.best_metric=accuracy", whole},
		{"train device=c", "device=cpu device=cuda", whole},
		{"train tasks.rte.lr=", "tasks.rte.lr=null", whole},
		{"train adapter.task_after=l", "adapter.task_after=layer", whole},
		{"train train.lr=", "", whole},
		{"train nothing=", "", whole},
		{"train task=r", "task=rte", goOn},
		{"train adapter.targets=value,query,ffn", "adapter.targets=value,query,ffn_up adapter.targets=value,query,ffn_down", goOn},
		{"train adapter.targets=value,v", "", goOn},
		{"train data.train=data/", "data.train=data/train.csv", whole},
		{"train data.train=d", "data.train=data/", goOn},
		{"train -c ", "yaml yml", cobra.ShellCompDirectiveFilterFileExt},
		{"train --resume ", "data/ other/ runs/", goOn},
		{"train --resume runs/", "runs/a runs/b", whole},
		{"train --resume=other/", "other/c", whole},
		{"repeat runs/b", "runs/b", whole},
		{"repeat runs/b ", "", cobra.ShellCompDirectiveDefault},
		{"report runs/a runs/", "runs/a runs/b", whole},
		{"eval nowhere/", "", whole},
		{"predict runs/a/", "runs/a/adapter/", goOn},
		{"inspect r", "runs/", goOn},
		{"validate ", "yaml yml", cobra.ShellCompDirectiveFilterFileExt},
		{"validate con", "yaml yml", cobra.ShellCompDirectiveFilterFileExt},
		{"validate -c x train.e", "train.epochs= train.eval_batch_size= train.eps= train.eval_every=", goOn},
	} {
		offers, directive := offered(t, strings.Split(test.args, " ")...)
		if !slices.Equal(offers, strings.Fields(test.want)) || directive != test.directive {
			t.Errorf("%s: %q with %d, want %s with %d", test.args, offers, directive, test.want, test.directive)
		}
	}
}

// In bash, which breaks words at "=", what is offered takes the place of the value alone.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	dir := t.TempDir()
	script := command(t, t.Context(), backend{}, 0, nil, "completion", "bash").stdout
	program := "#!/bin/sh\nFINETUNE_TEST_PROCESS=saving exec " + os.Args[0] + " \"$@\"\n"
	for name, text := range map[string]string{"finetune": program, "completion": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for typed, want := range map[string]string{
		"finetune train adapter.method=metatt4": "metatt4d",
		"finetune train train.l":                "train.lr=",
		"finetune train adapter.targets=val":    "value",
		"finetune valid":                        "validate",
		"finetune train nothing=":               "",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		// What bash-completion, which may not be here, makes of the line: words that "=" does not break.
		shell := exec.CommandContext(ctx, bash, "--norc", "-c", `
			_get_comp_words_by_ref() { read -ra words <<<"$COMP_LINE"; cword=$((${#words[@]} - 1)); cur=${words[cword]}; prev=${words[cword - 1]}; }
			source completion
			COMP_LINE=$1 COMP_POINT=${#1}
			$(complete -p finetune | sed -E 's/.*-F ([^ ]+).*/\1/') finetune
			printf '%s\n' "${COMPREPLY[@]}"`, "bash", typed)
		shell.Dir = dir
		shell.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		got, err := shell.Output() // on its error stream compopt says that no key was pressed
		cancel()
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: %q (%v), want %q", typed, got, err, want)
		}
	}
}

func TestCompletionOfShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := command(t, t.Context(), backend{}, 0, nil, "completion", shell); got.code != 0 || !strings.Contains(got.stdout, "finetune") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
}
