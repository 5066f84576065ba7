package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/report"
)

const hostile = `<script>alert(1)</script> & "x|y" \_{$%`

// hostileReport has a name from outside that every form has to escape.
func hostileReport(t *testing.T) *report.Report {
	t.Helper()
	named := func(m made) made {
		m.keys = append(m.keys, "model.path="+hostile)
		return m
	}
	other := lora(1, 0.6, 0.65)
	other.keys = append(other.keys, "model.path==cmd")
	unended := lora(9, 0.5)
	unended.unended = true
	return reportOf(t, report.Options{By: []string{"method", "model.path"}, Against: "model.path=" + hostile + ",lora"},
		named(lora(1, 0.7, 0.72)), named(lora(2, 0.7, 0.74)), named(lora(3, 0.7, 0.71)), named(metatt(1, 0.75, 0.7)), named(metatt(2, 0.7, 0.76)), named(metatt(3, 0.7, 0.7)), other, unended)
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var text bytes.Buffer
	if err := write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestMarkdown(t *testing.T) {
	text := written(t, hostileReport(t).WriteMarkdown)
	if strings.Contains(text, "<script") || !strings.Contains(text, `&lt;script>alert(1)`) || !strings.Contains(text, `"x\|y" \\\_{$%`) {
		t.Errorf("%s", text)
	}
	columns := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns > 0 && n != columns {
			t.Errorf("%d columns of %d: %s", n, columns, line)
		}
		columns = n
	}
	if !strings.Contains(text, "has not ended") {
		t.Error("the run that has not ended is not mentioned")
	}
}

func TestLaTeX(t *testing.T) {
	text := written(t, hostileReport(t).WriteLaTeX)
	if !strings.Contains(text, `\& "x|y" \textbackslash{}\_\{\$\%`) {
		t.Errorf("%s", text)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "%") {
			continue
		}
		for _, r := range line {
			if r > 126 {
				t.Errorf("%q in %s", r, line)
			}
		}
	}
	if strings.Count(text, `\begin{tabular}`) != strings.Count(text, `\end{tabular}`) || strings.Count(text, `\begin{table}`) != 4 {
		t.Errorf("%s", text)
	}
}

// The CSV is in full, has the same columns in each row, and no cell that a spreadsheet
// would compute.
func TestCSV(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(written(t, hostileReport(t).WriteCSV))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := func(row []string, column string) string {
		for i, name := range rows[0] {
			if name == column {
				return row[i]
			}
		}
		t.Fatalf("no column %s in %q", column, rows[0])
		return ""
	}
	if len(rows) != 7 || at(rows[1], "model.path") != hostile || at(rows[3], "model.path") != "'=cmd" {
		t.Errorf("%q", rows)
	}
	row := rows[5]
	if at(row, "method") != "metatt4d" || at(row, "of") != "accuracy" || at(row, "best_mean") != "0.7366666666666667" || at(row, "pairs") != "3" || at(row, "seeds") != "1 2 3" || at(row, "peak_bytes") != "1.073741824e+09" {
		t.Errorf("%q", row)
	}
	if at(rows[6], "of") != "f1" || at(rows[6], "main") != "false" || at(rows[6], "seeds") != "" {
		t.Errorf("%q", rows[6])
	}
}

// The page needs nothing from elsewhere, runs nothing, and holds no text that is not escaped.
func TestPage(t *testing.T) {
	r := hostileReport(t)
	text := written(t, r.WriteHTML)
	for _, wrong := range []string{"<script", "<link", "<img", "<iframe", "@import", "url(", "src=", "ZgotmplZ"} {
		if strings.Contains(text, wrong) {
			t.Errorf("the page has %s", wrong)
		}
	}
	if outside := regexp.MustCompile(`(?:href|src)="[^#"][^"]*"`).FindAllString(text, -1); outside != nil {
		t.Errorf("the page asks for %q", outside)
	}
	figures, err := r.Figures()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "<figure "); n != len(figures) || n < 4 || strings.Count(text, "<svg ") != n || strings.Count(text, "<details>") != n {
		t.Errorf("%d figures of %d in the page", n, len(figures))
	}
	for _, f := range figures {
		if len(f.Data.Rows) == 0 || f.Caption == "" {
			t.Errorf("%s: no numbers or no caption", f.Name)
		}
		for _, row := range f.Data.Rows {
			if len(row) != len(f.Data.Columns) {
				t.Errorf("%s: %q under %q", f.Name, row, f.Data.Columns)
			}
		}
	}
	for _, want := range []string{"has not ended", "0.7367", "Pareto front", "currentColor"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if written(t, r.WriteHTML) != text {
		t.Error("the page is another one the second time")
	}
}

// Each plot can be read by others, and is the same each time.
func TestPlots(t *testing.T) {
	figures, err := hostileReport(t).Figures()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range figures {
		if names[f.Name] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(f.Name) {
			t.Errorf("the name %q", f.Name)
		}
		names[f.Name] = true
		if _, err := png.Decode(strings.NewReader(written(t, f.WritePNG))); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		svg := written(t, f.WriteSVG)
		decoder := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
		if strings.Contains(svg, "<script") {
			t.Errorf("%s: a name is not escaped", f.Name)
		}
	}
}
