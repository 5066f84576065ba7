package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
)

// completion offers what may stand where something was typed, as cobra asks for it.
type completion = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

const (
	goOn  = cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp // more is to be typed behind an offer
	whole = cobra.ShellCompDirectiveNoFileComp
)

func completeFlag(cmd *cobra.Command, flag string, f completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // a slip in the program: the command has no such flag
	}
}

// completeYAML leaves the shell to look for configurations.
func completeYAML(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeKeysOrFiles is completeKeys, and of configurations where what was typed begins no key.
func completeKeysOrFiles(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if offers, directive := completeKeys(cmd, args, typed); len(offers) > 0 && typed != "" || strings.Contains(typed, "=") {
		return offers, directive
	}
	return completeYAML(cmd, args, typed)
}

// completeKeys offers the keys of the schema as "key=", sections first, and behind that their values.
func completeKeys(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if name, value, given := strings.Cut(typed, "="); given {
		return completeValue(name, value)
	}
	var offers []string
	for _, key := range everyKey() {
		section, _, dotted := strings.Cut(key.Name, ".")
		switch {
		case !strings.HasPrefix(key.Name, typed):
		case dotted && !strings.Contains(typed, ".") && !strings.HasPrefix(typed, section):
			if offer := section + "."; !slices.Contains(offers, offer) {
				offers = append(offers, offer)
			}
		default:
			offers = append(offers, key.Name+"=\t"+key.Doc)
		}
	}
	return offers, goOn
}

// everyKey has those that every task has for each.
func everyKey() (keys []config.Key) {
	all := config.Keys()
	for _, key := range all {
		before, after, ofTask := strings.Cut(key.Name, "<task>")
		if !ofTask {
			keys = append(keys, key)
			continue
		}
		for _, task := range all[0].Values() { // the first key is task
			key.Name = before + task + after
			keys = append(keys, key)
		}
	}
	return keys
}

func completeValue(name, typed string) ([]string, cobra.ShellCompDirective) {
	keys := everyKey()
	i := slices.IndexFunc(keys, func(key config.Key) bool { return key.Name == name })
	if i < 0 {
		return nil, whole
	}
	key, before := keys[i], ""
	if key.IsPlace() {
		offers, directive := completePath(typed, func(string) bool { return true })
		for k := range offers {
			offers[k] = name + "=" + offers[k]
		}
		return offers, directive
	}
	if at := strings.LastIndexByte(typed, ','); at >= 0 && key.IsList() {
		before, typed = typed[:at+1], typed[at+1:]
	}
	var offers []string
	for _, word := range key.Values() {
		if strings.HasPrefix(word, typed) && !slices.Contains(strings.Split(before, ","), word) {
			offers = append(offers, name+"="+before+word)
		}
	}
	if key.IsList() {
		return offers, goOn // a comma may follow
	}
	return offers, whole
}

// completeRuns offers run directories, and folders in which some may be; nothing behind the first argument.
func completeRuns(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return completePath(typed, func(path string) bool { info, err := os.Stat(path); return err == nil && info.IsDir() })
}

// completePath offers what begins as typed, of what is wanted. A folder that is no run ends in a slash: it may be gone
// into.
func completePath(typed string, wanted func(path string) bool) ([]string, cobra.ShellCompDirective) {
	dir, name := filepath.Split(typed)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return nil, whole
	}
	var offers []string
	directive := whole
	for _, e := range entries {
		path := dir + e.Name()
		if !strings.HasPrefix(e.Name(), name) || strings.HasPrefix(e.Name(), ".") && name == "" || !wanted(path) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() && !place.IsRun(path) {
			path += "/"
			directive = goOn
		}
		offers = append(offers, path)
	}
	return offers, directive
}
