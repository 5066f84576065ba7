package parquet

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// column is one that stands in the schema itself, not in a structure.
type column struct {
	name     string
	place    int // among the columns of a row group
	kind     format.Type
	optional bool
	unsigned bool
	problem  string // why it cannot be read; "": it can
}

// parseSchema lists the columns: elements stand in depth-first order, each group with
// the number of its children.
func (f *File) parseSchema(m field) error {
	var open []int32 // children that are still to come, of the groups around
	leaves, first := 0, true
	err := m.structures(func(element []byte) error {
		e, err := decode[format.SchemaElement](element)
		if err != nil {
			return err
		}
		group := first || !e.Type.Valid
		switch {
		case first:
		case len(open) == 0:
			return errors.New("a column outside of the schema")
		default:
			if open[len(open)-1]--; len(open) == 1 {
				f.columns = append(f.columns, newColumn(&e, leaves, group))
			}
		}
		first = false
		switch {
		case !group:
			leaves++
		case e.NumChildren.V < 0:
			return fmt.Errorf("%d columns in a structure", e.NumChildren.V)
		case len(open) == deepest:
			return errDeep
		default:
			open = append(open, e.NumChildren.V)
		}
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
		return nil
	})
	if err == nil && len(open) > 0 {
		return errors.New("the schema breaks off")
	}
	return err
}

func newColumn(e *format.SchemaElement, place int, group bool) column {
	c := column{name: strings.Clone(e.Name), place: place, kind: e.Type.V, optional: e.RepetitionType.V == format.Optional}
	switch {
	case group:
		c.problem = "is a structure or a list"
	case e.RepetitionType.V == format.Repeated:
		c.problem = "is repeated"
	case c.kind == format.Int96 || c.kind == format.FixedLenByteArray || c.kind < 0 || c.kind > format.FixedLenByteArray:
		c.problem = "holds values of another sort"
	default:
		c.logical(e)
	}
	return c
}

// logical looks at what the values stand for.
func (c *column) logical(e *format.SchemaElement) {
	switch t := e.LogicalType.Value.(type) {
	case nil:
		// Older writers say it in another place.
		converted := e.ConvertedType
		if !converted.Valid {
			return
		}
		texts := []deprecated.ConvertedType{deprecated.UTF8, deprecated.Enum, deprecated.Json}
		numbers := []deprecated.ConvertedType{deprecated.Int8, deprecated.Int16, deprecated.Int32, deprecated.Int64}
		unsigned := []deprecated.ConvertedType{deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64}
		if c.unsigned = slices.Contains(unsigned, converted.V); !slices.Contains(slices.Concat(texts, numbers, unsigned), converted.V) {
			c.problem = fmt.Sprintf("holds values of another sort (%v)", converted.V)
		}
	case *format.StringType, *format.EnumType, *format.JsonType, *format.NullType:
	case *format.IntType:
		c.unsigned = !t.IsSigned
	default:
		c.problem = fmt.Sprintf("holds values of another sort (%v)", t)
	}
}

// find is the column of that name, one that can be read.
func (f *File) find(name string) (column, error) {
	i := slices.IndexFunc(f.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return column{}, fmt.Errorf("no column %.40q in the file, which has %s", name, f.listed())
	}
	c := f.columns[i]
	if slices.ContainsFunc(f.columns[i+1:], func(c column) bool { return c.name == name }) {
		return c, fmt.Errorf("two columns are named %.40q", name)
	}
	if c.problem != "" {
		return c, fmt.Errorf("column %.40q %s; texts, numbers and booleans can be read", name, c.problem)
	}
	return c, nil
}

// listed names the first few columns.
func (f *File) listed() string {
	const most = 8
	var shown []string
	for _, c := range f.columns[:min(most, len(f.columns))] {
		shown = append(shown, fmt.Sprintf("%.40q", c.name))
	}
	if more := len(f.columns) - most; more > 0 {
		return strings.Join(shown, ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(shown, ", ")
}
