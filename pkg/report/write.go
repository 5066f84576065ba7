package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// WriteMarkdown writes the tables as Markdown.
func (r *Report) WriteMarkdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	write := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) } // the error is Flush's
	for _, line := range r.Summary() {
		write("%s.\n", markdown(line))
	}
	for _, t := range r.Tables() {
		write("## %s\n", markdown(t.Title))
		write("| %s |", strings.Join(mapped(t.Columns, markdown), " | "))
		write("| --- |%s", strings.Repeat(" ---: |", len(t.Columns)-1))
		for _, row := range t.Rows {
			write("| %s |", strings.Join(mapped(row, markdown), " | "))
		}
		write("")
		for _, note := range t.Notes {
			write("- %s", markdown(note))
		}
		if len(t.Notes) > 0 {
			write("")
		}
	}
	if lines := r.leftAndNotes(); len(lines) > 0 {
		write("## Left out, and notes\n")
		for _, line := range lines {
			write("- %s", markdown(line))
		}
	}
	return b.Flush()
}

// leftAndNotes says what no figure counts, and what else is to be known.
func (r *Report) leftAndNotes() (lines []string) {
	for _, l := range r.Left {
		lines = append(lines, l.Dir+" "+l.Why)
	}
	return append(lines, r.Notes...)
}

func mapped(texts []string, f func(string) string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = f(text)
	}
	return out
}

var markdownMarks = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`)

func markdown(text string) string { return markdownMarks.Replace(Printable(text)) }

var latexMarks = strings.NewReplacer(`\`, `\textbackslash{}`, "&", `\&`, "%", `\%`, "$", `\$`, "#", `\#`, "_", `\_`, "{", `\{`, "}", `\}`,
	"~", `\textasciitilde{}`, "^", `\textasciicircum{}`, "±", `$\pm$`, "−", `$-$`, "–", "--", "≤", `$\leq$`, "≈", `$\approx$`, "…", `\ldots{}`, "·", `$\cdot$`, "<", `$<$`, ">", `$>$`)

func latex(text string) string { return latexMarks.Replace(Printable(text)) }

// WriteLaTeX writes the tables for LaTeX with the package booktabs.
func (r *Report) WriteLaTeX(w io.Writer) error {
	b := bufio.NewWriter(w)
	write := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	write("%% needs \\usepackage{booktabs}")
	for _, line := range append(r.Summary(), r.leftAndNotes()...) {
		write("%% %s", Printable(line))
	}
	for _, t := range r.Tables() {
		write("\n\\begin{table}\n\\centering\n\\caption{%s}", latex(strings.Join(append([]string{t.Title}, t.Notes...), "; ")))
		write("\\begin{tabular}{l%s}\n\\toprule", strings.Repeat("r", len(t.Columns)-1))
		write("%s \\\\\n\\midrule", strings.Join(mapped(t.Columns, latex), " & "))
		for _, row := range t.Rows {
			write("%s \\\\", strings.Join(mapped(row, latex), " & "))
		}
		write("\\bottomrule\n\\end{tabular}\n\\end{table}")
	}
	return b.Flush()
}

// WriteCSV writes a row for each metric of each group, its numbers in full; what a group has
// once, and the comparison, stand in the row of its main metric.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	header := append([]string{}, r.By...)
	header = append(header, "of", "main", "n", "undefined", "best_mean", "best_std", "best_median", "last_mean", "last_std", "last_median",
		"adapter_parameters", "head_parameters", "seconds", "samples_per_second", "peak_bytes", "seeds",
		"reference", "pairs", "difference", "low", "high", "mcnemar_pairs", "mcnemar_examples", "mcnemar_only_it", "mcnemar_only_reference", "mcnemar_p")
	rows := [][]string{header}
	for _, g := range r.Groups {
		for i, m := range g.Metrics {
			row := append([]string{}, mapped(g.Values, plainCell)...)
			row = append(row, plainCell(m.Name), strconv.FormatBool(i == 0), strconv.Itoa(len(g.runs)), strconv.Itoa(m.Best.Undefined))
			for _, s := range []Sample{m.Best, m.Last} {
				row = append(row, full(s.Mean()), full(s.Std()), full(s.Median()))
			}
			if i == 0 {
				row = append(row, full(g.Adapter.Mean()), full(g.Head.Mean()), full(g.Seconds.Mean()), full(g.Speed.Mean()), full(g.Memory.Mean()), joined(g.Seeds, " "))
				row = append(row, g.Against.cells("")...)
			} else {
				row = append(row, make([]string, 6)...)
				row = append(row, g.Against.cells(m.Name)...)
			}
			rows = append(rows, row)
		}
	}
	return out.WriteAll(rows)
}

// cells are a comparison's, and its only test's; with a metric's name those of the test of
// its task, of a run of several.
func (c *Comparison) cells(metric string) []string {
	cells := make([]string, 10)
	if c == nil {
		return cells
	}
	if metric == "" {
		cells[0], cells[1], cells[2] = plainCell(c.Reference.Label), strconv.Itoa(len(c.Values)), full(c.Mean())
		if c.Interval {
			cells[3], cells[4] = full(c.Low), full(c.High)
		}
	}
	for _, t := range c.Tests {
		if metric == "" && len(c.Tests) == 1 || metric == t.Task+" accuracy" {
			for i, n := range []int{t.Pairs, t.Examples, t.Ours, t.Reference} {
				cells[5+i] = strconv.Itoa(n)
			}
			cells[9] = full(t.P)
		}
	}
	return cells
}

func full(x float64) string {
	if math.IsNaN(x) {
		return ""
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// plainCell is a text that no spreadsheet takes for a formula.
func plainCell(text string) string {
	if strings.HasPrefix(text, "=") || strings.HasPrefix(text, "+") || strings.HasPrefix(text, "@") {
		return "'" + text
	}
	return text
}
