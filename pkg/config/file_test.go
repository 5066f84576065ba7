package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rejections holds, for every testdata/NAME.bad.yaml, what is printed after "testdata/NAME.bad.yaml:".
var rejections = map[string][]string{
	"custom_without_columns": {"3: data.text: is missing; task custom needs it: column or key of the text", "4: data.label: is missing; task custom needs it: column or key of the label or score"},
	"custom_without_files": {
		"1: data.train: is missing; task custom needs it: file of own examples to train on: .tsv and .csv with a header, .jsonl or .json with an object a line, .parquet as data sets of the Hugging Face hub have them; a pattern such as train-*.parquet names the parts of one",
		"1: data.dev: is missing; task custom needs it: file of own examples to evaluate on"},
	"custom_train_subset":      {"2: data.train_subset: is for task mnli, qnli, qqp; the task is custom"},
	"custom_misspelt":          {`1: task: "custm" is unknown; did you mean custom?`},
	"custom_control_character": {`3: data.train: "\x1b[2J.csv" holds a control character or is not UTF-8`},
	"custom_kind":              {`2: data.kind: "multilabel" is unknown; legal: classification, regression`},
	"custom_among_several":     {"1: data.dev: is missing; task custom needs it: file of own examples to evaluate on"},
	"task_list_twice":          {`1: task: "sst2" is listed twice`},
	"task_list_empty":          {"1: task: is empty; legal: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, sample, custom"},
	"task_list_all":            {`1: task: "all" is unknown; legal: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, sample, custom`},
	"task_list_unknown":        {`1: task: "cloa" is unknown; did you mean cola?`},
	"tasks_not_listed":         {"3: tasks.cola.weight: is for task cola; the tasks are mrpc, rte"},
	"tasks_of_another":         {"3: tasks.rte.lr: is for task rte; the task is mrpc"},
	"tasks_unknown":            {"3: tasks.squad: unknown key", "4: tasks.mprc: unknown key; did you mean tasks.mrpc?", "5: tasks.weight: unknown key; did you mean tasks.<task>.weight?"},
	"tasks_values": {"4: tasks.mrpc.weight: 0 is out of range; must be > 0", "5: tasks.mrpc.lr: -1 is out of range; must be > 0", `6: tasks.mrpc.limit: "1.5" is not an integer`,
		"7: tasks.mrpc.wieght: unknown key; did you mean tasks.mrpc.weight?", "8: tasks.mrpc.learning_rate: unknown key; did you mean tasks.mrpc.lr?",
		`9: tasks.rte: expected keys and values, found the text "0.5"`},
	"tasks_twice":                 {"4: tasks.sst2: set twice; first on line 3"},
	"train_subset_of_several":     {"2: data.train_subset: is for task mnli, qnli, qqp; the tasks are mrpc, rte"},
	"append_of_several":           {"3: adapter.append.to: appends one task to a saved adapter; the tasks are mrpc, rte"},
	"best_metric_unknown":         {`1: train.best_metric: "acuracy" is unknown; did you mean accuracy?`},
	"best_metric_of_task":         {`1: train.best_metric: "mrpc.f1" is unknown; legal: accuracy, f1, macro_f1, matthews, pearson, spearman`},
	"best_metric_of_several":      {`2: train.best_metric: "f1" is of no task of the run; write TASK or TASK.METRIC: the tasks are mrpc, rte`},
	"best_metric_of_other_task":   {`2: train.best_metric: "cola.matthews" is of no task of the run; write TASK or TASK.METRIC: the tasks are mrpc, rte`},
	"best_metric_of_task_unknown": {`2: train.best_metric: "f2" is unknown; legal: accuracy, f1, macro_f1, matthews, pearson, spearman`},
	"mixture_word":                {`2: train.mixture: "size-root" is not size, sqrt, uniform, round-robin or a temperature >= 1`},
	"mixture_below_one":           {`2: train.mixture: "0.5" is not size, sqrt, uniform, round-robin or a temperature >= 1`},
	"mixture_infinite":            {`2: train.mixture: ".inf" is not size, sqrt, uniform, round-robin or a temperature >= 1`},
	"mixture_of_one_task":         {"2: train.mixture: is for a run of several tasks; the task is mrpc"},
	"too_large": {"2: train.epochs: 9223372036854775807 is out of range; must be <= 2147483647", "3: train.batch_size: 2147483648 is out of range; must be <= 2147483647",
		`4: train.eval_every: "2147483648" is not epoch or a number of steps`, "5: dmrg.at: 3000000000 is out of range; must be <= 2147483647"},
	"eval_never": {"1: train.eval_every: never is not possible: evaluation chooses adapter/best; write epoch or a number of steps"},
	"eval_word":  {`1: train.eval_every: "0" is not epoch or a number of steps`},
	"accumulate_zero": {"2: train.accumulate: 0 is out of range; must be >= 1", "3: train.patience: -1 is out of range; must be >= 0", "4: train.head_lr: 0 is out of range; must be > 0",
		`5: train.schedule: "cosin" is unknown; did you mean cosine?`, "6: data.limit: -1 is out of range; must be >= 0"},
	"adalora_of_lora":       {"3: adapter.adalora.hold: is for method adalora; the method is lora"},
	"dropout_of_metatt":     {"3: adapter.dropout: is for method adalora, dora, lora, rslora, vera; the method is metatt4d"},
	"init_of_lora":          {"3: adapter.init: is for method metatt4d, metatt5d; the method is lora"},
	"own_data_for_glue":     {"3: data.train: is for task custom; the task is mrpc", "4: data.text: is for task custom; the task is mrpc"},
	"train_subset_of_rte":   {"2: data.train_subset: is for task mnli, qnli, qqp; the task is rte"},
	"append_and_budget":     {"2: adapter.budget: chooses a rank; the saved adapter decides it"},
	"append_and_init_from":  {"3: adapter.append.to: stands beside adapter.init_from, which trains a saved adapter further; leave one of them out"},
	"append_is_section":     {`2: adapter.append: expected keys and values, found the text "runs/a"`},
	"append_nowhere":        {"3: adapter.append.grow: is for a task appended to a saved adapter; adapter.append.to names none"},
	"append_start_alone":    {"3: adapter.append.start: is for a task appended to a saved adapter; adapter.append.to names none"},
	"append_start_empty":    {"2: adapter.append.start: is empty; legal: zero, mean or the name of a task of the saved adapter"},
	"init_with_task_mode":   {`3: adapter.init: "ze-id-id-id" is for 4 cores; metatt4d with a task mode has 5`},
	"ranks_and_budget":      {"3: adapter.budget: chooses one rank for all bonds; leave adapter.ranks out"},
	"ranks_and_rank":        {"2: adapter.rank: 3 stands beside adapter.ranks [8 6 4], which take its place: leave one of them out (adapter.ranks= empties the list)"},
	"ranks_in_quotes":       {`2: adapter.ranks: expected list of integers >= 1, found the text "6" in it`},
	"ranks_nested":          {"2: adapter.ranks: expected list of integers >= 1, found a list in it"},
	"ranks_not_integers":    {`2: adapter.ranks: "6.5" is not an integer`},
	"ranks_of_lora":         {"3: adapter.ranks: is for method metatt4d, metatt5d, tenslora; the method is lora"},
	"ranks_of_modes":        {"3: adapter.ranks: 3 ranks; tenslora has 4 modes, each with one"},
	"ranks_too_few":         {"2: adapter.ranks: 2 ranks; metatt4d has 3 bonds, each with one"},
	"ranks_with_task_mode":  {"3: adapter.ranks: 3 ranks; metatt4d with a task mode has 4 bonds, each with one"},
	"ranks_zero":            {"2: adapter.ranks: 0 is out of range; must be >= 1"},
	"task_after_head":       {`2: adapter.task_after: of metatt4d the task mode stands behind one of in, layer, matrix, not behind "head"`},
	"adalora_and_budget":    {"4: adapter.adalora.initial_rank: 12 stands beside adapter.budget, which moves the initial rank too: set it to 0, for 1.5 times the rank"},
	"task_after_end":        {`2: adapter.task_after: "out" is unknown; legal: in, layer, matrix, head`},
	"task_after_of_lora":    {"3: adapter.task_after: is for method metatt4d, metatt5d; the method is lora"},
	"alias":                 {"3: run: expected keys and values, found an alias (not allowed here)"},
	"alias_bomb":            {"1: a: unknown key", "2: b: unknown key", "3: c: unknown key", "4: d: unknown key", "5: train: expected keys and values, found an alias (not allowed here)"},
	"bool_in_quotes":        {`2: data.shuffle: expected true|false, found the text "true"`},
	"checkpoint_every_zero": {`2: train.checkpoint_every: "0" is not epoch, never or a number of steps`},
	"control_character":     {`2: run.dir: "runs/\x1b[2J" holds a control character or is not UTF-8`},
	"device_index":          {`1: device: "cuda:128" is not auto, cpu, cuda or cuda:N`},
	"device_unknown":        {`1: device: "gpu" is not auto, cpu, cuda or cuda:N`},
	"dotted_key":            {"1: train.lr: in a file, write lr: under train:"},
	"dmrg_other_mode":       {"5: dmrg.pair_steps: is for dmrg.mode two-site; the dmrg.mode is canonical", "4: dmrg.grow: is for dmrg.mode enrich; the dmrg.mode is canonical"},
	"dmrg_not_rising":       {"3: dmrg.at: 3 stands behind 3; sweeps are listed as they follow one another", "4: dmrg.mindim: 5 is above the dmrg.maxdim of sweep 3, 4"},
	"dmrg_without_mode":     {"2: dmrg.maxdim: is for dmrg.mode paper, canonical, two-site, enrich; the dmrg.mode is none"},
	"dmrg_mode": {`2: dmrg.mode: "canonicl" is unknown; did you mean canonical?`, `3: dmrg.maxdim: "6.5" is not an integer`,
		"4: dmrg.cutoff: 1 is out of range; must be >= 0 and < 1", "5: dmrg.epochs: unknown key; did you mean dmrg.at?"},
	"dropout_one":               {"2: model.dropout: 1 is out of range; must be >= 0 and < 1"},
	"duplicate_key":             {"4: train.lr: set twice; first on line 2"},
	"duplicate_section":         {"3: train: set twice; first on line 1"},
	"enum_far":                  {`2: model.dtype: "int8" is unknown; legal: fp32, bf16, tf32, auto`},
	"enum_near":                 {`2: adapter.method: "metat4d" is unknown; did you mean metatt4d?`},
	"init_5d":                   {`3: adapter.init: "ze-id-id-id" is for 4 cores; metatt5d has 5`},
	"init_length":               {`2: adapter.init: "ze-id-id" is for 3 cores; metatt4d has 4`},
	"init_no_zero":              {`2: adapter.init: "no-id-id-id" has 0 cores at ze; exactly one must be, or nothing is learned from a zero update`},
	"init_two_zeros":            {`2: adapter.init: "ze-ze-id-id" has 2 cores at ze; exactly one must be, or nothing is learned from a zero update`},
	"init_word":                 {`2: adapter.init: "idd" is no start of a core; legal: ze, id, no, or, joined by -`},
	"integer_too_large":         {`2: train.seed: "99999999999999999999" is not an integer`},
	"integer_with_fraction":     {`2: train.batch_size: "1.5" is not an integer`},
	"key_not_a_word":            {"1: a key is a plain word; found a list"},
	"list_for_scalar":           {"1: model.dtype: expected fp32|bf16|tf32|auto, found a list"},
	"lr_infinite":               {`2: train.lr: "inf" is not a finite number`},
	"lr_nan":                    {`2: train.lr: ".nan" is not a finite number`},
	"lr_overflow":               {`2: train.lr: "1e999" is not a finite number`},
	"lr_zero":                   {"2: train.lr: 0 is out of range; must be > 0"},
	"max_length_short":          {"2: data.max_length: 3 is out of range; must be >= 4"},
	"merge_key":                 {"2: a key is a plain word; found a merge key (not allowed here)"},
	"no_value":                  {"2: train.lr: has no value; expected number > 0"},
	"not_utf8":                  {"3: not UTF-8 text"},
	"number_in_quotes":          {`2: train.lr: expected number > 0, found the text "1e-3"`},
	"rank_zero":                 {"2: adapter.rank: 0 is out of range; must be >= 1"},
	"second_document":           {"2: a second document starts here; a configuration is one"},
	"section_as_value":          {"2: task: expected cola|sst2|mrpc|stsb|qqp|mnli|qnli|rte|wnli|sample|custom, one or a list, found keys and values"},
	"section_is_scalar":         {`1: train: expected keys and values, found the text "fast"`},
	"several":                   {`1: task: "mprc" is unknown; did you mean mrpc?`, `3: model.dtype: "fp16" is unknown; legal: fp32, bf16, tf32, auto`, "5: train.lr: -1 is out of range; must be > 0", "6: train.warmpu: unknown key; did you mean train.warmup?", "8: adapter.rank: 0 is out of range; must be >= 1"},
	"syntax":                    {"2: not YAML: did not find expected key"},
	"syntax_tab":                {"2: not YAML: found character that cannot start any token"},
	"tagged_value":              {`2: train.seed: expected integer >= 0, found the tag "!!int"`},
	"targets_all_and_more":      {`2: adapter.targets: "all" is unknown; legal: query, key, value, output, ffn_up, ffn_down`},
	"targets_empty":             {"2: adapter.targets: is empty; legal: query, key, value, output, ffn_up, ffn_down"},
	"targets_nested":            {"2: adapter.targets: expected list of query|key|value|output|ffn_up|ffn_down, found a list in it"},
	"targets_twice":             {`2: adapter.targets: "query" is listed twice`},
	"targets_unknown":           {`2: adapter.targets: "valeu" is unknown; did you mean value?`},
	"task_unknown":              {`1: task: "squad" is unknown; legal: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, sample, custom`},
	"top_level_list":            {"1: expected keys and values, found a list"},
	"tt_rank_of_lora":           {"3: adapter.tt_rank: is for method loretta-adp, loretta-rep; the method is lora"},
	"unclosed":                  {"1: not YAML: did not find expected ',' or '}'"},
	"unknown_key":               {"3: train.learning_rate: unknown key; did you mean train.lr?"},
	"unknown_key_case":          {"1: Train: unknown key; did you mean train?"},
	"unknown_key_control":       {`1: "a\nb": unknown key`},
	"unknown_key_far":           {"2: model.quantization: unknown key"},
	"unknown_key_other_section": {"2: model.shuffle: unknown key; did you mean data.shuffle?"},
	"unknown_key_slip":          {"2: adapter.rnak: unknown key; did you mean adapter.rank?"},
	"unknown_key_top":           {"1: lr: unknown key; did you mean train.lr?"},
	"unknown_section":           {"1: trian: unknown key; did you mean train?"},
	"warmup_above_one":          {"2: train.warmup: 1.01 is out of range; must be >= 0 and <= 1"},
	"wrong_type_bool":           {`2: data.shuffle: "yes" is neither true nor false`},
	"wrong_type_integer":        {`2: train.batch_size: "many" is not an integer`},
}

func TestRejectsBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(rejections) {
		t.Errorf("%d bad files, %d expectations", len(files), len(rejections))
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".bad.yaml")
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, line := range rejections[name] {
				want = append(want, path+":"+line)
			}
			c, err := Load([]string{path}, nil, nil)
			var configError *Error
			if !errors.As(err, &configError) {
				t.Fatalf("Load = %v, %v; want an *Error", c, err)
			}
			if err.Error() != strings.Join(want, "\n") {
				t.Errorf("got\n%v\nwant\n%v", err, strings.Join(want, "\n"))
			}
			if len(configError.Problems) != len(want) {
				t.Errorf("%d problems, want %d", len(configError.Problems), len(want))
			}
		})
	}
}

func TestRejectsUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("# padding\n", largestFile/10+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.yaml")
	for path, want := range map[string]string{
		missing: missing + ": no such file or directory",
		dir:     dir + ": is a directory",
		large:   large + ": larger than 65536 bytes: not a configuration",
	} {
		_, err := Load([]string{path}, nil, nil)
		var configError *Error
		if !errors.As(err, &configError) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A file of nothing, of comments, or of sections whose keys are commented out is the defaults.
func TestEmptyFileIsDefaults(t *testing.T) {
	defaults := mustLoad(t, "")
	for _, text := range []string{"", "# nothing\n", "---\n", "\ufefftask: mrpc\n", "train:\nmodel:\n  # dtype: bf16\n", "model:\n  dropout: null\n", "{}"} {
		if c := mustLoad(t, text); !equal(c, defaults) {
			t.Errorf("%q: got %+v", text, c)
		}
	}
}

func FuzzReadFile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("\"x\\ny.z\": {\"a\\nb\": 1, \"a\\nb\": 2}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "fuzz.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load([]string{path}, nil, nil)
		var configError *Error
		switch {
		case err == nil:
			checkRoundTrip(t, c)
		case !errors.As(err, &configError):
			t.Errorf("untyped error %v", err)
		default:
			for _, p := range configError.Problems {
				if strings.ContainsAny(p.String(), "\n\r\x1b") {
					t.Errorf("problem is not one clean line: %q", p)
				}
			}
		}
	})
}
