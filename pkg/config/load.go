package config

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// overriding is the source of what is put over the files, after all others.
const overriding = math.MaxInt

// commandLine is the place of what key=value sets.
const commandLine = "command line"

// Load resolves a configuration. Of each key, the first of these that sets it counts: overrides ("key=value", the
// last of several), the environment (train.lr is METATT_TRAIN_LR; empty is unset), the YAML files (the last of several:
// they lie over one another key by key), the default. A nil env means no environment.
//
// All that is wrong is reported together, also of a value that another replaces: the error is an *Error.
func Load(files, overrides []string, env func(string) (string, bool)) (*Config, error) {
	return load(files, readOverrides(overrides), env)
}

// Setting is a value that is put over the files', as it is written on the command line: a list as [A, B].
type Setting struct {
	Key, Text string
	Where     string // what problems with it begin with: "experiments/ranks.yaml:7"
}

// LoadSettings is Load with settings in the place of overrides.
func LoadSettings(files []string, settings []Setting, env func(string) (string, bool)) (*Config, error) {
	over := newLayer()
	for _, s := range settings {
		over.set(s.Where, s.Key, s.Text)
	}
	return load(files, over, env)
}

func load(files []string, over *layer, env func(string) (string, bool)) (*Config, error) {
	var sources []*layer // each over those before it
	for _, path := range files {
		sources = append(sources, readFile(path))
	}
	if env != nil {
		sources = append(sources, readEnvironment(env))
	}
	sources = append(sources, over)
	c := &Config{where: map[string]string{}, from: map[string]int{}, Adapter: Adapter{settings: map[string]any{}}}
	settings := viper.New()
	for i := range schema().keys {
		key := &schema().keys[i]
		value, problem := key.parse(key.Default)
		if problem != "" {
			panic("config: default of " + key.Name + ": " + problem)
		}
		switch {
		case key.setting:
			c.Adapter.settings[key.Name] = value
		case key.task == "" || slices.ContainsFunc(sources, func(l *layer) bool { return l.setsTask(key.task) }):
			settings.SetDefault(key.Name, value)
		}
	}
	var problems []Problem
	for i, source := range sources {
		if source == over {
			i = overriding
		}
		problems = append(problems, source.problems...)
		for name, value := range source.values {
			if schema().byName[name].setting {
				c.Adapter.settings[name] = value
			} else {
				settings.Set(name, value)
			}
			c.where[name], c.from[name] = source.where[name], i
		}
	}

	if err := settings.UnmarshalExact(c, func(d *mapstructure.DecoderConfig) { d.TagName = "yaml" }); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	problems = append(problems, c.settleMethod()...)
	problems = append(problems, c.checkAppend()...)
	problems = append(problems, c.checkMethod()...)
	problems = append(problems, c.checkDMRG()...)
	problems = append(problems, c.checkTask(problems)...)
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return c, nil
}

func readEnvironment(env func(string) (string, bool)) *layer {
	l := newLayer()
	for _, s := range FromEnvironment(env) {
		l.set(s.Where, s.Key, s.Text)
	}
	return l
}

// FromEnvironment is what the environment sets of all keys, each task's own among them.
func FromEnvironment(env func(string) (string, bool)) (settings []Setting) {
	for _, key := range schema().keys {
		variable := Variable(key.Name)
		if text, _ := env(variable); text != "" {
			settings = append(settings, Setting{Key: key.Name, Text: text, Where: variable})
		}
	}
	return settings
}

// Variable is the environment variable of a key.
func Variable(key string) string {
	return "METATT_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func readOverrides(overrides []string) *layer {
	l := newLayer()
	for _, override := range overrides {
		name, text, ok := strings.Cut(override, "=")
		if !ok {
			l.fail(commandLine, "", fmt.Sprintf("%s is not of the form key=value", quote(override)))
			continue
		}
		l.set(commandLine, name, text)
	}
	return l
}
