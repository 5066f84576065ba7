package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// look is what a series is drawn with.
type look struct {
	color  color.NRGBA
	dashes []vg.Length
	glyph  draw.GlyphDrawer
}

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
