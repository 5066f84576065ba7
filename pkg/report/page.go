package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template is filled with.
type page struct {
	Style   template.CSS
	Title   string
	Summary []string
	Facts   []fact
	Tasks   []taskPart
	Groups  Table
	Left    []Left
	Notes   []string
	Method  []string
}

type fact struct{ Number, Of string }

// taskPart is the section of a task.
type taskPart struct {
	ID, Name string
	Findings []string
	Tables   []Table
	Figures  []pageFigure
}

type pageFigure struct {
	Figure
	SVG template.HTML
}

// WriteHTML writes the report as one page that needs nothing else: tables, plots, and the
// numbers behind each plot.
func (r *Report) WriteHTML(w io.Writer) error {
	figures, err := r.Figures()
	if err != nil {
		return err
	}
	tasks := tasksOf(r.Groups)
	p := page{
		Style: template.CSS(pageStyle), Title: "Runs on " + strings.Join(tasks, "; "), Summary: mapped(r.Summary(), sentence),
		Facts: r.facts(), Groups: r.groupTable(), Left: r.Left, Notes: r.Notes, Method: method,
	}
	for i, task := range tasks {
		part := taskPart{ID: fmt.Sprintf("task-%d", i+1), Name: task, Findings: r.findings(task), Tables: r.taskTables(task)}
		for _, f := range figures {
			if f.task != task {
				continue
			}
			svg, err := f.inline()
			if err != nil {
				return err
			}
			part.Figures = append(part.Figures, pageFigure{f, template.HTML(svg)}) // texts in it are escaped by the canvas
		}
		p.Tasks = append(p.Tasks, part)
	}
	return pageTemplate.Execute(w, p)
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

func (r *Report) facts() []fact {
	seeds := map[int]bool{}
	for _, g := range r.Groups {
		for _, seed := range g.Seeds {
			seeds[seed] = true
		}
	}
	plural := func(n int, of string) fact {
		text := count(n, of)
		number, what, _ := strings.Cut(text, " ")
		return fact{number, what}
	}
	return []fact{plural(r.Runs-len(r.Left), "run"), plural(len(r.Groups), "group"), plural(len(tasksOf(r.Groups)), "task"), plural(len(seeds), "seed"),
		{fmt.Sprint(len(r.Left)), "left out"}}
}

// findings says what the plot of a task shows first: what is best, and what the front is.
func (r *Report) findings(task string) (lines []string) {
	points := pareto(r.of(task))
	if len(points) == 0 {
		return []string{"No group has a defined metric."}
	}
	best := slices.MaxFunc(points, func(a, b point) int { // of equal ones the smaller, which comes first
		switch {
		case a.y < b.y:
			return -1
		case a.y > b.y:
			return 1
		}
		return 0
	})
	main := best.group.Main()
	lines = append(lines, fmt.Sprintf("The highest mean of the best dev %s is %s (n = %d), of %s with %s trained parameters.",
		main.Name, spread(main.Best), len(main.Best.Values), best.group.Label, whole(best.x)))
	var front []string
	for _, p := range points {
		if p.front {
			front = append(front, fmt.Sprintf("%s (%s: %s)", p.group.Label, whole(p.x), number(p.y)))
		}
	}
	return append(lines, "Pareto front, by rising parameters: "+strings.Join(front, ", ")+".")
}

// groupTable says what each group is made of.
func (r *Report) groupTable() Table {
	t := Table{Columns: append([]string{"task", "group", "seeds", "ranks at the end", "also"}, "versions", "device", "run directories")}
	for _, g := range r.Groups {
		var ranks, versions, devices, dirs []string
		for _, m := range g.runs {
			end := joined(m.Summary.Ranks, "-")
			if end == "" && m.Summary.Rank > 0 {
				end = fmt.Sprint(m.Summary.Rank)
			}
			ranks, versions = append(ranks, end), append(versions, strings.TrimSpace(m.Environment.Version+" libtorch "+m.Environment.Torch.Version))
			devices, dirs = append(devices, m.Summary.DType+" on "+m.Summary.Device), append(dirs, m.Dir)
		}
		var also []string
		for _, key := range r.Also {
			if value, has := g.runs[0].values[key]; has {
				also = append(also, key+"="+value)
			}
		}
		t.Rows = append(t.Rows, []string{g.Task, g.Label, joined(g.Seeds, " "), once(ranks), strings.Join(also, " "), once(versions), once(devices), strings.Join(dirs, " ")})
	}
	return t
}

// once lists texts without repetitions.
func once(texts []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(texts))), ", ")
}

// method says how the numbers were made: docs/reports.md in short.
var method = []string{
	"“Best” is the evaluation of the dev set whose main metric was the highest (of equal ones the first), “last” the one after the last step. Best values are chosen on the dev set that they are of, and so are higher than a test set's.",
	"Means and medians are over the runs of a group, which differ in the seed; ± is the standard deviation of the sample (n − 1).",
	fmt.Sprintf("Differences are over the seeds that both groups have. Their 95 %% interval is Student's of fewer than %d pairs, else the percentile interval of a bootstrap over seeds (%s resamples with a fixed seed).", fewestOfBootstrap, whole(resamples)),
	"McNemar's test is exact and two-sided, on the dev examples that one of two best adapters of a seed alone has right; all seeds' pairs of runs are in one table, though their examples are the same, which makes p too small where runs of different seeds err alike.",
	"No p-value or interval is corrected for the number of comparisons.",
}
