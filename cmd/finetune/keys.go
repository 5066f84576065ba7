package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/metatt/metatt/pkg/config"
)

func writeKeys(w io.Writer) {
	for i, key := range config.Keys() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		byDefault := key.Default
		if byDefault == "" {
			byDefault = `""`
		}
		fmt.Fprintf(w, "%s = %s\n", key.Name, byDefault)
		legal := strings.ReplaceAll(key.Type, "|", " | ")
		if methods := key.Methods(); methods != nil {
			legal += "; for " + strings.Join(methods, ", ")
		}
		for _, line := range append(wrap(key.Doc, 76), wrap("("+legal+")", 76)...) {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
}

const aboutKeys = `# Configuration

Made by ` + "`make docs`" + ` of the schema; ` + "`finetune validate --keys`" + ` prints the same.

A run is described by YAML files, each given with ` + "`-c`" + `: they lie over one another key by key, and the later one counts. Over
them stand environment variables (` + "`METATT_TRAIN_LR` for `train.lr`" + `), over these ` + "`key=value`" + ` on the command line. Every key is
optional. A file writes a section's keys under its name:

    train:
      lr: 5e-4

Relative paths are those of the folder that ` + "`finetune`" + ` is started in; ` + "`config.yaml`" + ` of a run directory, which holds every key as
it was resolved, has absolute ones.
`

// writeKeysAsMarkdown is docs/config.md.
func writeKeysAsMarkdown(w io.Writer) {
	fmt.Fprint(w, aboutKeys)
	sections := []string{""} // first what stands in none
	rows := map[string][]string{}
	for _, key := range config.Keys() {
		section, _, dotted := strings.Cut(key.Name, ".")
		if !dotted {
			section = ""
		}
		if rows[section] == nil && dotted {
			sections = append(sections, section)
		}
		rows[section] = append(rows[section], keyRow(key))
	}
	for _, section := range sections {
		fmt.Fprintf(w, "\n## %s\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n%s\n", cmp.Or(section, "Of the whole run"), strings.Join(rows[section], "\n"))
	}
}

func keyRow(key config.Key) string {
	byDefault := ""
	if key.Default != "" {
		byDefault = "`" + key.Default + "`"
	}
	doc := key.Doc
	if methods := key.Methods(); methods != nil {
		doc += "; for " + strings.Join(methods, ", ")
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", key.Name, inMarkdown(strings.ReplaceAll(key.Type, "|", ", ")), byDefault, inMarkdown(doc))
}

// inMarkdown is a text of one line in a cell of a table.
func inMarkdown(text string) string {
	return strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`, "$", `\$`).Replace(text)
}
