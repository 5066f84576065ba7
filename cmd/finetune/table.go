package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/metatt/metatt/pkg/report"
)

// table is a title and blocks of rows, with rules between.
type table struct {
	title  string
	blocks [][]row
}

// row is a name and what there is to say.
type row struct{ name, text string }

const (
	ruleWidth = 64
	nameWidth = 20 // of a row
)

func writeTable(w io.Writer, t table) {
	rule := strings.Repeat("─", ruleWidth)
	fmt.Fprintf(w, "\n%s\n", t.title)
	for _, block := range t.blocks {
		if len(block) > 0 {
			fmt.Fprintln(w, rule)
			writeRows(w, block)
		}
	}
}

func writeRows(w io.Writer, rows []row) {
	for _, r := range rows {
		gap := strings.Repeat(" ", max(1, nameWidth-utf8.RuneCountInString(r.name)))
		fmt.Fprintln(w, strings.TrimRight(r.name+gap+r.text, " "))
	}
}

// gridWidth is that of tables of columns: of a terminal that nobody has widened.
const gridWidth = 80

// writeGrid writes a table of columns. The first one holds names, which go on below where
// they are too long; the others are as wide as they have to be.
func writeGrid(w io.Writer, t report.Table) {
	widths := make([]int, len(t.Columns))
	rows := append([][]string{t.Columns}, t.Rows...)
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	name := gridWidth
	for _, width := range widths[1:] {
		name -= width + 2
	}
	widths[0] = min(widths[0], max(name, 12))
	fmt.Fprintf(w, "\n%s\n", report.Printable(t.Title))
	rule := 0
	for _, width := range widths {
		rule += width + 2
	}
	fmt.Fprintln(w, strings.Repeat("─", rule-2))
	for k, r := range rows {
		lines := wrap(report.Printable(r[0]), widths[0])
		line := padded(lines[0], widths[0], false)
		for i, cell := range r[1:] {
			line += "  " + padded(report.Printable(cell), widths[i+1], true)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
		for _, rest := range lines[1:] {
			fmt.Fprintln(w, "  "+rest)
		}
		if k == 0 {
			fmt.Fprintln(w, strings.Repeat("─", rule-2))
		}
	}
	for _, note := range t.Notes {
		writeLines(w, note)
	}
}

func padded(text string, width int, right bool) string {
	gap := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	if right {
		return gap + text
	}
	return text + gap
}

// writeLines writes a text in lines of the width of a grid.
func writeLines(w io.Writer, text string) {
	for _, line := range wrap(report.Printable(text), gridWidth) {
		fmt.Fprintln(w, line)
	}
}
