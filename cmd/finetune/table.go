package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
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
