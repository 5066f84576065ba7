package report

import (
	"fmt"
	"html"
	"image/color"
	"io"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Figure is a plot of a report, and the numbers behind it.
type Figure struct {
	Name    string // of its files, without what they end in
	Title   string
	Caption string // what one sees
	Data    Table
	task    string
	panels  []panel // one below the other
	legend  []entry // below them
}

// panel is a plot with its height.
type panel struct {
	*plot.Plot
	height vg.Length
}

// entry is a line of the legend.
type entry struct {
	text string
	look
}

// look is what a series is drawn with.
type look struct {
	color  color.NRGBA
	dashes []vg.Length
	glyph  draw.GlyphDrawer
}

const (
	figureWidth   = 5.2 * vg.Inch // a phone's width at half its resolution, so that texts stay legible there
	figurePadding = 6 * vg.Length(1)
	textSize      = 10
	titleHeight   = 22 * vg.Length(1)
	entryHeight   = 15 * vg.Length(1)
	swatchWidth   = 26 * vg.Length(1)
	pngResolution = 200 // dots an inch
)

// ink is the color of axes and texts. A page puts its own in the place of it.
var ink = color.NRGBA{0x21, 0x21, 0x21, 0xff}

// colors of series tell them apart for colour-blind eyes, on white and on black, and in
// print by their lightness too: Paul Tol's "bright", without grey.
var colors = []color.NRGBA{
	{0x44, 0x77, 0xaa, 0xff}, {0xee, 0x66, 0x77, 0xff}, {0x22, 0x88, 0x33, 0xff},
	{0xaa, 0x33, 0x77, 0xff}, {0x66, 0xcc, 0xee, 0xff}, {0xcc, 0xbb, 0x44, 0xff},
}

var dashes = [][]vg.Length{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}, {12, 4}}

var glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, polygon{4, math.Pi / 4}, polygon{3, math.Pi / 2}, polygon{4, 0}, polygon{3, -math.Pi / 2}, polygon{6, 0}}

// polygon is a filled glyph with so many corners, the first at an angle.
type polygon struct {
	corners int
	first   float64
}

// DrawGlyph implements [draw.GlyphDrawer].
func (g polygon) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	var path vg.Path
	radius := 1.25 * style.Radius // about the area of the circle
	for k := range g.corners {
		sin, cos := math.Sincos(g.first + 2*math.Pi*float64(k)/float64(g.corners))
		corner := at.Add(vg.Point{X: radius * vg.Length(cos), Y: radius * vg.Length(sin)})
		if k == 0 {
			path.Move(corner)
		} else {
			path.Line(corner)
		}
	}
	path.Close()
	c.SetColor(style.Color)
	c.Fill(path)
}

// faint is the color for what lies behind.
func (l look) faint(alpha uint8) color.NRGBA {
	c := l.color
	c.A = alpha
	return c
}

// looks gives each method a color, and each of its groups in a task a dash and a glyph.
func (r *Report) looks() map[*Group]look {
	methods := map[string]int{}
	before := map[string]int{} // groups of a task and method
	looks := map[*Group]look{}
	for _, g := range r.Groups {
		method := g.runs[0].Summary.Method
		k, known := methods[method]
		if !known {
			k = len(methods)
			methods[method] = k
		}
		n := before[g.Task+"\x00"+method]
		before[g.Task+"\x00"+method]++
		looks[g] = look{colors[k%len(colors)], dashes[(n+k)%len(dashes)], glyphs[(n+k)%len(glyphs)]}
	}
	return looks
}

// newPlot is an empty plot in the style of reports.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	sans := font.Font{Typeface: "Liberation", Variant: "Sans", Size: textSize}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Tick.Color = ink, ink
		axis.Width, axis.Tick.Width = 0.7, 0.7
		axis.Label.TextStyle.Font, axis.Label.TextStyle.Color = sans, ink
		axis.Tick.Label.Font, axis.Tick.Label.Color = sans, ink
		axis.Padding = 3
		axis.Tick.Marker = plot.TickerFunc(roundTicks)
	}
	p.Title.TextStyle.Font, p.Title.TextStyle.Color = sans, ink
	return p
}

// height is the figure's, without a title.
func (f Figure) height() vg.Length {
	height := 2 * figurePadding
	for _, p := range f.panels {
		height += p.height
	}
	return height + vg.Length(len(f.legendRows()))*entryHeight
}

// legendRows breaks the legend into lines.
func (f Figure) legendRows() (rows [][]entry) {
	style := f.panels[0].X.Label.TextStyle
	room := figureWidth - 2*figurePadding
	used := room
	for _, e := range f.legend {
		width := swatchWidth + style.Width(e.text) + 12
		if used+width > room {
			rows, used = append(rows, nil), 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], e)
		used += width
	}
	return rows
}

// draw puts panels and legend on a canvas of the figure's size.
func (f Figure) draw(c draw.Canvas, background color.Color) {
	if background != nil {
		c.SetColor(background)
		c.Fill(c.Rectangle.Path())
	}
	area := draw.Crop(c, figurePadding, -figurePadding, figurePadding, -figurePadding)
	top := area.Max.Y
	for _, p := range f.panels {
		part := area
		part.Max.Y, part.Min.Y = top, top-p.height
		p.BackgroundColor = nil
		p.Draw(part)
		top -= p.height
	}
	style := f.panels[0].X.Label.TextStyle
	style.XAlign, style.YAlign = draw.XLeft, draw.YCenter
	for _, row := range f.legendRows() {
		at := vg.Point{X: area.Min.X, Y: top - entryHeight/2}
		for _, e := range row {
			e.swatch(area, at)
			area.FillText(style, vg.Point{X: at.X + swatchWidth, Y: at.Y}, e.text)
			at.X += swatchWidth + style.Width(e.text) + 12
		}
		top -= entryHeight
	}
}

func (e entry) swatch(c draw.Canvas, at vg.Point) {
	c.StrokeLine2(draw.LineStyle{Color: e.color, Width: 1.5, Dashes: e.dashes}, at.X, at.Y, at.X+swatchWidth-6, at.Y)
	if e.glyph != nil {
		c.DrawGlyph(draw.GlyphStyle{Color: e.color, Radius: 3, Shape: e.glyph}, vg.Point{X: at.X + (swatchWidth-6)/2, Y: at.Y})
	}
}

// titled draws the figure below its title, on white.
func (f Figure) titled(canvas vg.CanvasSizer) {
	c := draw.New(canvas)
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	style := f.panels[0].Title.TextStyle
	style.Font.Size, style.XAlign, style.YAlign = textSize+1, draw.XLeft, draw.YCenter
	c.FillText(style, vg.Point{X: c.Min.X + figurePadding, Y: c.Max.Y - titleHeight/2 - 2}, f.Title)
	c.Max.Y -= titleHeight
	f.draw(c, nil)
}

// WritePNG writes the figure with its title, on white.
func (f Figure) WritePNG(w io.Writer) error {
	canvas := vgimg.NewWith(vgimg.UseWH(figureWidth, f.height()+titleHeight), vgimg.UseDPI(pngResolution))
	f.titled(canvas)
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// WriteSVG writes the figure with its title, on white.
func (f Figure) WriteSVG(w io.Writer) error {
	canvas := vgsvg.New(figureWidth, f.height()+titleHeight)
	f.titled(canvas)
	_, err := canvas.WriteTo(w)
	return err
}

// inline is the figure as an element of a page, which gives it width and colors: without
// title and background.
func (f Figure) inline() (string, error) {
	canvas := vgsvg.New(figureWidth, f.height())
	f.draw(draw.New(canvas), nil)
	var text strings.Builder
	if _, err := canvas.WriteTo(&text); err != nil {
		return "", err
	}
	svg := text.String()
	start, body, ok := strings.Cut(svg, ">")
	for ok && !strings.Contains(start, "<svg") {
		start, body, ok = strings.Cut(body, ">")
	}
	if !ok {
		return "", fmt.Errorf("%s: no SVG", f.Name)
	}
	hex := fmt.Sprintf("#%02X%02X%02X", ink.R, ink.G, ink.B)
	body = strings.ReplaceAll(strings.ReplaceAll(body, hex, "currentColor"), strings.ToLower(hex), "currentColor")
	return fmt.Sprintf(`<svg viewBox="0 0 %.5g %.5g" role="img" aria-label="%s">`, figureWidth.Points(), f.height().Points(), html.EscapeString(f.Title)) + body, nil
}

// fileName makes a name for files of texts from outside.
func fileName(parts ...string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, strings.ToLower(strings.Join(parts, "-")))
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	return strings.Trim(name, "-")
}
