package config

import (
	"reflect"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/lora"
	"github.com/metatt/metatt/pkg/metatt"
)

// A method gets its keys as the struct that it declared.
func TestSettingsOfMethods(t *testing.T) {
	c := mustLoad(t, "adapter: {method: metatt5d, ranks: [8, 6, 4, 2]}")
	if got := c.Adapter.Settings("metatt5d"); !reflect.DeepEqual(got, metatt.Settings{Ranks: []int{8, 6, 4, 2}}) || c.Adapter.Rank != 8 {
		t.Errorf("%+v, rank %d", got, c.Adapter.Rank)
	}
	c = mustLoad(t, "", "adapter.method=adalora", "adapter.adalora.every=3", "adapter.dropout=0.1")
	want := lora.AdaSettings{Settings: lora.Settings{Dropout: 0.1}, Schedule: lora.Schedule{Hold: 0.1, Settle: 0.3, Every: 3}}
	if got := c.Adapter.Settings("adalora"); got != want {
		t.Errorf("%+v", got)
	}
	if got := c.Adapter.Settings("head"); got != nil {
		t.Errorf("head has %v", got)
	}
	if got := c.Adapter.Setting("no_such"); got != nil {
		t.Errorf("got %v", got)
	}
}

// What is adopted counts for the copy alone, and other methods' keys go back to
// their defaults.
func TestAdopt(t *testing.T) {
	c := mustLoad(t, "adapter: {init_from: saved, task_after: layer}", "adapter.ranks=8,6,4,2", "adapter.init=ze-id-id-id-id")
	adopted := *c
	theirs := metatt.Settings{Ranks: []int{3, 3, 3, 3}, Init: "ze-id-id-id-id", TaskAfter: "in"}
	keys, values := c.Overruled("metatt4d", theirs) // task_after is a file's, init agrees
	if !slices.Equal(keys, []string{"adapter.ranks"}) || !reflect.DeepEqual(values, []any{[]int{3, 3, 3, 3}}) {
		t.Errorf("overruled are %v, %v", keys, values)
	}
	if keys, values = c.Overruled("lora", lora.Settings{}); len(keys) != 2 || values[0] != "none" || values[1] != "none" {
		t.Errorf("overruled by a method without them: %v, %v", keys, values)
	}
	adopted.Adapter.Adopt("metatt4d", theirs)
	if got := adopted.Adapter.Settings("metatt4d"); !reflect.DeepEqual(got, theirs) {
		t.Errorf("adopted %+v", got)
	}
	adopted.Adapter.Adopt("vera", lora.Settings{Dropout: 0.5})
	if a := &adopted.Adapter; a.Method != "vera" || a.Setting("dropout") != 0.5 || a.Setting("init") != "" || len(a.Setting("ranks").([]int)) != 0 {
		t.Errorf("adopted %+v", a)
	}
	if got := c.Adapter.Setting("ranks"); !reflect.DeepEqual(got, []int{8, 6, 4, 2}) || c.Adapter.Method != "metatt4d" {
		t.Errorf("the former has %v now", got)
	}
	checkRoundTrip(t, &adopted)
}

// A new method needs nothing but its declaration: its keys stand where it says,
// are checked, and are shared where they are said the same.
func TestDeclaredKeys(t *testing.T) {
	type own struct {
		Width  int     `yaml:"width" default:"3" range:"[1,)" after:"rank" doc:"of it"`
		Beside float64 `yaml:"beside" default:"0" after:"rank" doc:"of it"`
		Part   struct {
			Deep bool `yaml:"deep" default:"true" doc:"of it"`
		} `yaml:"part"`
	}
	type other struct {
		Width int `yaml:"width" default:"4" range:"[1,)" after:"rank" doc:"of it"`
	}
	type nowhere struct {
		Width int `yaml:"height" default:"4" after:"rnak" doc:"of it"`
	}
	set := &keySet{}
	set.collect(reflect.TypeFor[Config](), "", nil)
	add := func(name string, keys any) {
		for _, key := range (method{name, setting.Declaration{Keys: keys}}).keys() {
			set.addSetting(name, key)
		}
	}
	add("first", own{})
	add("second", own{})
	var names []string
	for _, key := range set.keys {
		if key.setting {
			names = append(names, key.Name)
			if !slices.Equal(key.methods, []string{"first", "second"}) {
				t.Errorf("%s is for %v", key.Name, key.methods)
			}
		}
	}
	if !slices.Equal(names, []string{"adapter.width", "adapter.beside", "adapter.part.deep"}) || !slices.Contains(set.sections, "adapter.part") {
		t.Errorf("keys %v, sections %v", names, set.sections)
	}
	if i := slices.IndexFunc(set.keys, func(k Key) bool { return k.Name == "adapter.width" }); set.keys[i-1].Name != "adapter.rank" || set.keys[i+2].Name != "adapter.budget" {
		t.Errorf("between %s and %s", set.keys[i-1].Name, set.keys[i+2].Name)
	}
	for what, declare := range map[string]func(){
		"a key that is another's": func() { add("third", other{}) },
		"a key of the schema": func() {
			add("third", struct {
				Rank int `yaml:"rank" default:"1" doc:"of it"`
			}{})
		},
		"a key behind none":        func() { add("third", nowhere{}) },
		"a method that comes late": func() { schema(); Declare("third", setting.Declaration{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", what)
				}
			}()
			declare()
		}()
	}
}

// What is neutral is as if it were not set; all else stays.
func TestWithoutNeutral(t *testing.T) {
	neutral, other := []string{"run.dir=a", "run.predictions=true", "threads=3", "data.cache=false", "train.checkpoint_every=7"}, "train.lr=0.5"
	plain, err := Load(nil, []string{other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := Load(nil, append(neutral, other), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := plain.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := set.WithoutNeutral().YAML(); err != nil || string(got) != string(want) {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if set.Threads != 3 {
		t.Error("the configuration itself was changed")
	}
}
