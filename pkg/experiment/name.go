package experiment

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/metatt/metatt/pkg/config"
)

// name names each run after what is varied.
func (p *Plan) name() {
	taken := map[string]bool{}
	for _, r := range p.Runs {
		r.Name = labelOf(r.Settings)
		if r.Name == "" {
			r.Name = "run"
		}
		if r.Choosing {
			r.Name = filepath.Join("choose", r.Name)
		}
		r.Name = untaken(r.Name, taken)
		r.Dir = filepath.Join(p.Dir, r.Name)
	}
}

// untaken is the name, or where another has taken it the first free of name-2, name-3 …; it is taken then.
func untaken(name string, taken map[string]bool) string {
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	taken[free] = true
	return free
}

// keyOf tells settings apart, which names do not.
func keyOf(settings []config.Setting) string {
	var key strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&key, "%s=%q ", s.Key, s.Text)
	}
	return key.String()
}

// longestName bounds the name of a folder, which most file systems do at 255 bytes.
const longestName = 120

// labelOf writes settings as a folder's name: the task's and the method's values alone,
// others behind the last word of their key.
func labelOf(settings []config.Setting) string {
	var first, rest []string
	for _, s := range settings {
		value := strings.Map(plain, s.Text)
		switch s.Key {
		case "task", "adapter.method":
			first = append(first, value)
		default:
			rest = append(rest, s.Key[strings.LastIndexByte(s.Key, '.')+1:]+value)
		}
	}
	return bounded(strings.Join(append(first, rest...), "-"))
}

// bounded cuts a folder's name that is too long, so that others of the same beginning have another.
func bounded(name string) string {
	if len(name) > longestName {
		return name[:longestName-9] + "-" + shortSum(name)
	}
	return name
}

// plain keeps what stands in a folder's name without quotes.
func plain(c rune) rune {
	switch {
	case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.ContainsRune("._+-", c):
		return c
	case c == '[' || c == ']' || c == ' ':
		return -1
	}
	return '_'
}
