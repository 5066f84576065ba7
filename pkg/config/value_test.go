package config

import (
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Lists of integers and of numbers, as a file and as key=value write them.
func TestNumberLists(t *testing.T) {
	integers := &Key{Name: "x.integers", kind: reflect.TypeFor[[]int](), limits: parseLimits("[1,)")}
	numbers := &Key{Name: "x.numbers", kind: reflect.TypeFor[[]float64](), limits: parseLimits("[0,1)")}
	for _, key := range []*Key{integers, numbers} {
		key.Type = key.typeName()
	}
	const ofIntegers, ofNumbers = "expected list of integers >= 1, found ", "expected list of numbers >= 0 and < 1, found "
	for _, test := range []struct {
		key     *Key
		file    string // the value in YAML; empty: it has no such form
		text    string // behind key=; empty with a file: not tried
		want    any
		problem string
	}{
		{integers, "[8, 6, 4]", "8,6,4", []int{8, 6, 4}, ""},
		{integers, "\n  - 8\n  - 8", " 8 , 8 ", []int{8, 8}, ""},
		{integers, "5", "5", []int{5}, ""},
		{integers, "7, 3", "7, 3", []int{7, 3}, ""},
		{integers, "[]", "", []int{}, ""},
		{numbers, "[1e-3, 0, 0.5]", "1e-3,0,0.5", []float64{1e-3, 0, 0.5}, ""},
		{numbers, "[]", "", []float64{}, ""},
		{integers, "[8, 0]", "8,0", nil, "0 is out of range; must be >= 1"},
		{integers, "[8, 1.5]", "8,1.5", nil, `"1.5" is not an integer`},
		{integers, "[8, 99999999999999999999]", "99999999999999999999", nil, `"99999999999999999999" is not an integer`},
		{integers, "[8, ]", "", []int{8}, ""},
		{integers, "8,,4", "8,,4", nil, `"" is not an integer`},
		{integers, "[8, ~]", "~", nil, `"~" is not an integer`},
		{integers, "[8, '4']", "", nil, ofIntegers + `the text "4" in it`},
		{integers, "[[8]]", "", nil, ofIntegers + "a list in it"},
		{integers, "[{a: 1}]", "", nil, ofIntegers + "keys and values in it"},
		{integers, "[!!int 8]", "", nil, ofIntegers + `the tag "!!int" in it`},
		{integers, "'8,4'", "", nil, ofIntegers + `the text "8,4"`},
		{integers, "{a: 1}", "", nil, ofIntegers + "keys and values"},
		{integers, "null", "", nil, "has no value; expected list of integers >= 1"},
		{integers, "", "[8,4]", nil, `"[8" is not an integer`},
		{numbers, "[0.5, 1]", "0.5,1", nil, "1 is out of range; must be >= 0 and < 1"},
		{numbers, "[.nan]", ".nan", nil, `".nan" is not a finite number`},
		{numbers, "[1e999]", "inf", nil, ""},
		{numbers, "['0.5']", "", nil, ofNumbers + `the text "0.5" in it`},
	} {
		check := func(form string, value any, problem string) {
			t.Helper()
			if test.want == nil && test.problem == "" { // the problem quotes the form
				if problem == "" {
					t.Errorf("%s %s: taken for %v", test.key.Name, form, value)
				}
				return
			}
			if problem != test.problem || !reflect.DeepEqual(value, test.want) {
				t.Errorf("%s %s: got %#v, %q, want %#v, %q", test.key.Name, form, value, problem, test.want, test.problem)
			}
		}
		if test.file != "" {
			var document yaml.Node
			if err := yaml.Unmarshal([]byte("key: "+test.file), &document); err != nil {
				t.Fatal(err)
			}
			l := newLayer()
			l.readValue("here", test.key, document.Content[0].Content[1])
			var problem string
			if len(l.problems) > 0 {
				problem = l.problems[0].Message
			}
			check("as "+test.file, l.values[test.key.Name], problem)
		}
		if test.text != "" || test.file == "" {
			value, problem := test.key.parse(test.text)
			check("="+test.text, value, problem)
		}
	}
	if value, problem := numbers.parse(""); problem != "" || !reflect.DeepEqual(value, []float64{}) {
		t.Errorf("an empty text is %#v, %q", value, problem)
	}
	if unlimited := (&Key{kind: reflect.TypeFor[[]float64](), limits: parseLimits("")}).typeName(); unlimited != "list of numbers" {
		t.Error(unlimited)
	}
}
