package fit

import (
	"fmt"
	"regexp"
	"strings"
)

// A function is one C++ function of a source text, as line numbers from 1.
type function struct {
	name       string
	void       bool
	start, end int // first line of the signature, line of the closing brace
}

// signature matches the first line of a function definition: in gotch's sources
// every one starts in the first column, and nothing else there has this form.
var signature = regexp.MustCompile(`^(template ?<[^>]*> ?)?([A-Za-z_][\w:<>, ]*?)([ *&]+)(\w+)\(`)

// functionsOf lists the function definitions of gotch's C++ sources. They are
// formatted by clang-format: a body either ends on the line it starts on, or
// with a brace in the first column.
func functionsOf(lines []string) []function {
	var functions []function
	for i := 0; i < len(lines); i++ {
		match := signature.FindStringSubmatch(lines[i])
		if match == nil {
			continue
		}
		f := function{
			name:  match[4],
			void:  match[2] == "void" && !strings.Contains(match[3], "*"),
			start: i + 1,
		}
		for f.end = i + 1; f.end <= len(lines); f.end++ {
			if line := lines[f.end-1]; line == "}" || strings.HasSuffix(line, "}") && f.end == f.start {
				break
			}
		}
		if f.end > len(lines) {
			break
		}
		functions = append(functions, f)
		i = f.end - 1
	}
	return functions
}

// disable replaces the body of each named function by one that sets libtch's
// error, and says how many it found.
func disable(source string, names map[string]bool, release string) (string, int) {
	lines := strings.Split(source, "\n")
	var result []string
	done, found := 0, 0
	for _, f := range functionsOf(lines) {
		if !names[f.name] {
			continue
		}
		found++
		result = append(result, lines[done:f.start-1]...)
		definition := strings.Join(lines[f.start-1:f.end], "\n")
		head, _, _ := strings.Cut(definition, "{")
		// strdup as in libtch's own PROTECT: the Go side frees the text.
		body := fmt.Sprintf("  torch_last_err = strdup(\"%s is not available in libtorch %s\");\n", strings.TrimPrefix(f.name, "atg_"), release)
		if !f.void {
			body += "  return {};\n"
		}
		result = append(result, head+"{\n"+body+"}")
		done = f.end
	}
	return strings.Join(append(result, lines[done:]...), "\n"), found
}

var torchInclude = regexp.MustCompile(`(?m)^#include [<"]((?:torch|ATen|c10)/[^>"\n]+)[>"]\n`)

// dropIncludes removes the lines that include a libtorch header that this
// libtorch no longer has; exists is asked for each.
func dropIncludes(source string, exists func(header string) bool) string {
	return torchInclude.ReplaceAllStringFunc(source, func(line string) string {
		if exists(torchInclude.FindStringSubmatch(line)[1]) {
			return line
		}
		return ""
	})
}
