package main

import (
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"

	"github.com/metatt/metatt/pkg/train"
)

const (
	redraw = 100 * time.Millisecond // a terminal need not see more than ten states a second

	leastBar = 8  // columns of a bar that is still worth its place
	mostBar  = 40 // beyond it, length tells nothing more
	// barFrame is what the library puts around bar and text: "  42% ", "  " and " ".
	barFrame = 9
)

// bar is a progress bar with a text after it, in a line of whatever width the terminal has at the moment.
type bar struct {
	out   io.Writer
	total int64
	inner *progressbar.ProgressBar
	width int // of inner
	done  int64
	text  string
}

// show draws the bar with the richest of texts that leaves it room on a line of so many columns.
func (b *bar) show(done int64, columns int, texts ...string) {
	b.done = done
	// Three columns stay empty: some terminals wrap as soon as the last is filled, and Ctrl-C is echoed as ^C.
	room := columns - 3 - barFrame
	width := 0
	b.text = ""
	for _, text := range texts {
		if left := room - utf8.RuneCountInString(text); left >= leastBar {
			width, b.text = min(left, mostBar), text
			break
		}
	}
	if b.text == "" {
		width = max(0, min(room, mostBar))
	}
	if b.inner == nil || width != b.width {
		b.clear()
		b.width, b.inner = width, b.make(width)
	}
	_ = b.inner.Set64(b.done)
	b.draw()
}

func (b *bar) make(width int) *progressbar.ProgressBar {
	return progressbar.NewOptions64(b.total,
		progressbar.OptionSetWriter(b.out),
		progressbar.OptionSetWidth(width),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}),
	)
}

func (b *bar) draw() {
	if b.inner != nil {
		b.inner.Describe(b.text)
	}
}

func (b *bar) clear() {
	if b.inner != nil {
		_ = b.inner.Clear()
	}
}

// above prints a line where the bar is and the bar below it. b may be nil.
func (b *bar) above(out io.Writer, line string) {
	if b != nil {
		b.clear()
	}
	fmt.Fprintln(out, line)
	if b != nil {
		b.draw()
	}
}

// barView keeps a bar at the foot of the terminal and prints evaluations above it.
type barView struct {
	mutex   sync.Mutex // notes come from other goroutines
	out     io.Writer
	columns func(io.Writer) int
	colour  bool
	bar     *bar
	epochs  int
	shown   time.Time
}

func (v *barView) Begin(b train.BeginInfo) {
	v.print(beginLine(b))
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.bar, v.epochs = &bar{out: v.out, total: int64(b.Total)}, b.Epochs
	v.bar.show(int64(b.Done), v.columns(v.out), "starting")
}

func (v *barView) Step(s train.StepInfo) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.bar == nil || (time.Since(v.shown) < redraw && s.Step != s.Total) {
		return
	}
	v.shown = time.Now()
	epoch := fmt.Sprintf("epoch %d/%d  ", s.Epoch, v.epochs)
	loss, lr := "loss "+figure(s.Loss), fmt.Sprintf("  lr %.1e", s.LR)
	speed, left := "  "+rate(s.SamplesPerSecond), "  "+clock(s.ETA)
	v.bar.show(int64(s.Step), v.columns(v.out),
		epoch+loss+lr+speed+" samples/s"+left+" left",
		loss+lr+speed+" samples/s"+left+" left",
		loss+lr+speed+"/s"+left+" left",
		loss+speed+"/s"+left,
		loss+left,
		loss,
	)
}

func (v *barView) Eval(e train.EvalInfo) {
	line := evalLine(e)
	if e.IsBest && v.colour {
		line = "\x1b[1m" + line + "\x1b[0m"
	}
	v.print(line)
}

func (v *barView) Sweep(s train.SweepInfo) { v.print(sweepLines(s)) }

// Checkpoint is silent: on a terminal, a line an epoch is for the evaluation.
func (v *barView) Checkpoint(string) {}

func (v *barView) Note(text string) { v.print(text) }

// print puts a line where the bar is and the bar below it.
func (v *barView) print(line string) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.bar.above(v.out, line)
}

func (v *barView) close() {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.bar != nil {
		v.bar.clear()
		v.bar = nil
	}
}
