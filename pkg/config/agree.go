package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Agrees compares the keys that c sets (in its file, the environment or on the command line) with the
// configuration that a run recorded; a run that goes on keeps its own. Not compared are run.dir, since the run may
// have been moved, and, with adapter.init_from and adapter.append.to, what the saved adapter decided in the file's place. The error is
// an *Error.
func (c *Config) Agrees(recorded *Config) error {
	var problems []Problem
	for _, key := range schema().keys {
		where, set := c.where[key.Name]
		if !set || key.Name == "run.dir" || c.leftToSavedAdapter(key.Name) {
			continue
		}
		here, there := key.of(c), key.of(recorded)
		if !reflect.DeepEqual(here, there) && !key.cameTo(here, there) {
			problems = append(problems, Problem{Where: where, Key: key.Name,
				Message: fmt.Sprintf("%s here, %s in the run: a run keeps its configuration", show(here), show(there))})
		}
	}
	if len(problems) > 0 {
		return &Error{Problems: problems}
	}
	return nil
}

// cameTo tells whether a run that is given here records there: the device and the number format that auto came
// to, the absolute path of what is in the folder that it was started in.
func (k *Key) cameTo(here, there any) bool {
	switch {
	case k.Name == "model.dtype":
		return here == "auto"
	case k.Name == "device":
		return here == "auto" || here == "cuda" && there == "cuda:0"
	case k.Name == "data.glue" && here == "":
		return true
	case !k.place:
		return false
	}
	path, err := filepath.Abs(here.(string))
	return err == nil && path == there
}

// ofTraining: a run has that key of its own, whatever adapter it begins with.
func ofTraining(key string) bool {
	name, _ := strings.CutPrefix(key, adapterSection+".")
	return slices.ContainsFunc(methods, func(m method) bool { return slices.Contains(m.Training, name) })
}

func (c *Config) leftToSavedAdapter(key string) bool {
	decides := key == "adapter.init_from" || strings.HasPrefix(key, "adapter.append.")
	return c.fromSaved() && strings.HasPrefix(key, "adapter.") && !decides && !c.Overrides(key) && !ofTraining(key)
}

// of is the key's value in a configuration.
func (k *Key) of(c *Config) any {
	switch {
	case k.task != "":
		return k.ofTask(c)
	case k.setting:
		return c.Adapter.settings[k.Name]
	}
	return reflect.ValueOf(c).Elem().FieldByIndex(k.index).Interface()
}

func show(value any) string {
	switch v := value.(type) {
	case *float64:
		if v == nil {
			return "null"
		}
		return fmt.Sprint(*v)
	case *int:
		if v == nil {
			return "null"
		}
		return strconv.Itoa(*v)
	case Tasks:
		if len(v) > 1 {
			return fmt.Sprint([]string(v))
		}
		return quote(v[0])
	case string:
		return quote(v)
	}
	return fmt.Sprint(value)
}
