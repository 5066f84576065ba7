package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// largestFile bounds what is read: a configuration is a page of text.
const largestFile = 64 << 10

// layer is what one source sets.
type layer struct {
	values   map[string]any    // by key, of the field's type
	where    map[string]string // by key
	problems []Problem
}

func newLayer() *layer { return &layer{values: map[string]any{}, where: map[string]string{}} }

func (l *layer) fail(where, key, message string) {
	l.problems = append(l.problems, Problem{Where: where, Key: printable(key), Message: message})
}

// set parses text as the value of a key that may not exist.
func (l *layer) set(where, name, text string) {
	name = canonical(name)
	key := schema().byName[name]
	if key == nil {
		l.fail(where, name, schema().unknown(name))
		return
	}
	if key.kind.Kind() == reflect.Slice && strings.HasPrefix(strings.TrimSpace(text), "[") {
		l.setBracketed(where, key, text)
		return
	}
	value, problem := key.parse(text)
	l.keep(where, key, value, problem)
}

// setBracketed takes a list as YAML writes it on one line.
func (l *layer) setBracketed(where string, key *Key, text string) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var document, more yaml.Node
	if len(text) > largestFile || decoder.Decode(&document) != nil || !errors.Is(decoder.Decode(&more), io.EOF) ||
		document.Content[0].Kind != yaml.SequenceNode {
		l.fail(where, key.Name, quote(text)+" is no list as YAML writes it; write [A, B] or A,B")
		return
	}
	l.readValue(where, key, document.Content[0])
}

func (l *layer) keep(where string, key *Key, value any, problem string) {
	if problem != "" {
		l.fail(where, key.Name, problem)
		return
	}
	l.values[key.Name], l.where[key.Name] = value, where
}

// Document reads a file of one YAML mapping, of experiments as of configurations; nil: it is empty but for comments. What
// keeps it from being read is a problem with its line.
func Document(path string) (*yaml.Node, *Problem) {
	text, err := readBounded(path)
	if err != nil {
		return nil, &Problem{Where: path, Message: err.Error()}
	}
	if at := invalidUTF8(text); at >= 0 {
		return nil, &Problem{Where: fmt.Sprintf("%s:%d", path, 1+bytes.Count(text[:at], []byte("\n"))), Message: "not UTF-8 text"}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF): // nothing but comments
		return nil, nil
	case err != nil:
		return nil, syntaxProblem(path, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &Problem{Where: fmt.Sprintf("%s:%d", path, second.Line), Message: "a second document starts here; a configuration is one"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxProblem(path, err)
	}
	return document.Content[0], nil
}

// readFile reads a YAML file against the schema.
func readFile(path string) *layer {
	l := newLayer()
	switch root, problem := Document(path); {
	case problem != nil:
		l.problems = append(l.problems, *problem)
	case root != nil:
		l.readMapping(path, root, "")
	}
	return l
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largestFile+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(text) > largestFile {
		return nil, fmt.Errorf("larger than %d bytes: not a configuration", largestFile)
	}
	return text, nil
}

// cause drops the operation and the path, which the problem's place already tells.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func invalidUTF8(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxProblem turns "yaml: line 3: did not find …" into a place and a message.
func syntaxProblem(path string, err error) *Problem {
	message, _, _ := strings.Cut(err.Error(), "\n")
	match := yamlLine.FindStringSubmatch(message)
	if match[1] != "" {
		path += ":" + match[1]
	}
	return &Problem{Where: path, Message: "not YAML: " + strings.TrimPrefix(message, match[0])}
}

// readMapping reads a section. Aliases and merge keys are refused rather than expanded: a file of this schema
// has no use for them, and nothing then grows beyond what was read.
func (l *layer) readMapping(path string, node *yaml.Node, prefix string) {
	where := func(n *yaml.Node) string { return path + ":" + strconv.Itoa(n.Line) }
	if isNull(node) { // a section whose keys are all commented out
		return
	}
	if node.Kind != yaml.MappingNode {
		l.fail(where(node), strings.TrimSuffix(prefix, "."), "expected keys and values, found "+describe(node))
		return
	}
	firstLine := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		keyNode, valueNode := node.Content[i], node.Content[i+1]
		if keyNode.Kind != yaml.ScalarNode || keyNode.Tag == "!!merge" {
			l.fail(where(keyNode), "", "a key is a plain word; found "+describe(keyNode))
			continue
		}
		local, name := keyNode.Value, canonical(prefix+keyNode.Value)
		if line, twice := firstLine[name]; twice {
			l.fail(where(keyNode), name, fmt.Sprintf("set twice; first on line %d", line))
			continue
		}
		firstLine[name] = keyNode.Line
		switch key := schema().byName[name]; {
		case key != nil && strings.Contains(local, "."):
			section, last := splitKey(local)
			l.fail(where(keyNode), name, fmt.Sprintf("in a file, write %s: under %s:", last, section))
		case key != nil:
			l.readValue(where(valueNode), key, valueNode)
		case slices.Contains(schema().sections, name):
			l.readMapping(path, valueNode, name+".")
		default:
			l.fail(where(keyNode), name, schema().unknown(name))
		}
	}
}

func (l *layer) readValue(where string, key *Key, node *yaml.Node) {
	isList := key.kind.Kind() == reflect.Slice
	isText := key.kind == reflect.TypeFor[string]() || key.kind.Kind() == reflect.Slice && key.kind.Elem().Kind() == reflect.String
	switch {
	case isNull(node) && key.kind.Kind() != reflect.Pointer:
		l.fail(where, key.Name, "has no value; expected "+key.Type)
	case node.Kind == yaml.SequenceNode && isList:
		words := make([]string, len(node.Content))
		for i, item := range node.Content {
			if !isValue(item, isText) {
				l.fail(where, key.Name, "expected "+key.Type+", found "+describe(item)+" in it")
				return
			}
			words[i] = item.Value
		}
		value, problem := key.parseList(words)
		l.keep(where, key, value, problem)
	case !isValue(node, isText):
		l.fail(where, key.Name, "expected "+key.Type+", found "+describe(node))
	default:
		text := node.Value
		if isNull(node) { // also ~ and nothing at all
			text = "null"
		}
		value, problem := key.parse(text)
		l.keep(where, key, value, problem)
	}
}

// isValue: the node is a plain value, not a number in quotes, which is a text.
func isValue(node *yaml.Node, isText bool) bool {
	return node.Kind == yaml.ScalarNode && node.Style&yaml.TaggedStyle == 0 && (node.Style == 0 || isText)
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

func describe(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "keys and values"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Kind == yaml.AliasNode:
		return "an alias (not allowed here)"
	case node.Tag == "!!merge":
		return "a merge key (not allowed here)"
	case node.Style&yaml.TaggedStyle != 0:
		return "the tag " + quote(node.Tag)
	}
	return "the text " + quote(node.Value)
}

// printable quotes a key only where printing it as it is would break the line.
func printable(name string) string {
	if quoted := quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
