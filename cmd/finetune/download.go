package main

import (
	"fmt"
	"io"
	"time"
)

// download shows a transfer: a bar on a terminal, else a line for every tenth of it.
type download struct {
	out     io.Writer
	name    string
	columns func(io.Writer) int
	bar     *bar
	shown   time.Time
	tenth   int64
}

func (p *program) download(name string) *download {
	return &download{out: p.stderr, name: name, columns: p.columns}
}

// update is called as bytes arrive; done falls back when another source is tried.
func (d *download) update(done, total int64) {
	if total <= 0 {
		return
	}
	text := fmt.Sprintf("%s  %s of %s", d.name, size(done), size(total))
	columns := d.columns(d.out)
	if columns == 0 {
		if tenth := 10 * done / total; tenth != d.tenth {
			d.tenth = tenth
			fmt.Fprintln(d.out, text)
		}
		return
	}
	if time.Since(d.shown) < redraw && done < total {
		return
	}
	d.shown = time.Now()
	if d.bar == nil || done < d.bar.done || total != d.bar.total {
		d.close()
		d.bar = &bar{out: d.out, total: total}
	}
	d.bar.show(done, columns, text, size(done))
}

func (d *download) close() {
	if d.bar != nil {
		d.bar.clear()
	}
}
