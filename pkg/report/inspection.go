package report

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/metatt/metatt/pkg/inspect"
)

const (
	panelWidth  = 6 * vg.Inch
	panelHeight = 4 * vg.Inch
)

// PlotInspection writes a PNG of a saved adapter: the singular values of each
// bond, where it is a tensor train, and ‖ΔW‖ over layer and matrix.
func PlotInspection(w io.Writer, i *inspect.Inspection) error {
	var panels []*plot.Plot
	if len(i.Spectra) > 0 {
		p, err := spectraPanel(i)
		if err != nil {
			return err
		}
		panels = append(panels, p)
	}
	var legend plot.Legend
	if len(i.Deltas) > 0 {
		p, l := deltaPanel(i)
		panels, legend = append(panels, p), l
	}
	if len(panels) == 0 {
		return errors.New("nothing to plot: the adapter is neither a tensor train nor an update of weights")
	}
	canvas := vgimg.New(panelWidth*vg.Length(len(panels)), panelHeight)
	for n, p := range panels {
		area := draw.Crop(draw.New(canvas), panelWidth*vg.Length(n), -panelWidth*vg.Length(len(panels)-1-n), 0, 0)
		area = draw.Crop(area, 10, -10, 10, -10)
		if n == len(panels)-1 && len(i.Deltas) > 0 {
			r := legend.Rectangle(area)
			width := r.Max.X - r.Min.X
			legend.YOffs = -p.Title.TextStyle.FontExtents().Height
			legend.Draw(area)
			area = draw.Crop(area, 0, -width-8, 0, 0)
		}
		p.Draw(area)
	}
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

func spectraPanel(i *inspect.Inspection) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "singular values of the bonds"
	p.X.Label.Text = "index"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decades)
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	largest := 0.0
	for _, s := range i.Spectra {
		largest = max(largest, s[0])
	}
	if largest == 0 {
		largest = 1 // an update that is still zero
	}
	// What is below is rounding of the fp32 cores.
	floor := largest * 1e-7
	for b, s := range i.Spectra {
		points := make(plotter.XYs, len(s))
		for n, value := range s {
			points[n] = plotter.XY{X: float64(n + 1), Y: max(value, floor)}
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color = colors[b%len(colors)]
		line.Width = vg.Points(1.5)
		marks.Color, marks.Shape = line.Color, draw.CircleGlyph{}
		p.Add(line, marks)
		p.Legend.Add(fmt.Sprintf("%s | %s", i.Modes[b].Name, i.Modes[b+1].Name), line, marks)
	}
	p.Y.Min, p.Y.Max = math.Max(p.Y.Min, floor)/1.5, p.Y.Max*1.5
	if p.X.Min == p.X.Max {
		p.X.Min, p.X.Max = p.X.Min-1, p.X.Max+1
	}
	return p, nil
}

// deltas is the grid of ‖ΔW‖: a column a layer, a row a matrix.
type deltas [][]float64

func (d deltas) Dims() (columns, rows int) { return len(d), len(d[0]) }
func (d deltas) Z(column, row int) float64 { return d[column][row] }
func (d deltas) X(column int) float64      { return float64(column) }
func (d deltas) Y(row int) float64         { return float64(row) }

func deltaPanel(i *inspect.Inspection) (*plot.Plot, plot.Legend) {
	grid := deltas(i.Deltas)
	heat := plotter.NewHeatMap(grid, shades(64))
	if heat.Min = 0; heat.Max == 0 {
		heat.Max = 1 // an update that is still zero
	}
	p := plot.New()
	p.Title.Text = "‖ΔW‖ by layer and matrix"
	p.X.Label.Text = "layer"
	p.Add(heat)
	layers, matrices := grid.Dims()
	p.X.Tick.Marker = indexTicks(layers, strconv.Itoa)
	p.Y.Tick.Marker = indexTicks(matrices, func(k int) string { return i.Config.Targets[k] })
	p.X.Min, p.X.Max = -0.5, float64(layers)-0.5
	p.Y.Min, p.Y.Max = -0.5, float64(matrices)-0.5

	legend := plot.NewLegend()
	legend.Top = true
	const steps = 6
	thumbs := plotter.PaletteThumbnailers(shades(steps))
	for n := steps - 1; n >= 0; n-- {
		value := heat.Max * float64(n) / (steps - 1)
		legend.Add(strconv.FormatFloat(value, 'g', 3, 64), thumbs[n])
	}
	return p, legend
}

// shades is a palette of n from light to dark.
type shades int

func (n shades) Colors() []color.Color {
	light, dark := [3]float64{0xee, 0xf3, 0xf8}, [3]float64{0x00, 0x26, 0x4d}
	colors := make([]color.Color, n)
	for k := range colors {
		mixed := func(channel int) uint8 {
			return uint8(light[channel] + (dark[channel]-light[channel])*float64(k)/float64(n-1))
		}
		colors[k] = color.RGBA{mixed(0), mixed(1), mixed(2), 0xff}
	}
	return colors
}

// indexTicks are ticks at 0, 1 … n-1.
func indexTicks(n int, name func(int) string) plot.ConstantTicks {
	ticks := make(plot.ConstantTicks, n)
	for k := range ticks {
		ticks[k] = plot.Tick{Value: float64(k), Label: name(k)}
	}
	return ticks
}
