// Package config is the schema of a run: its keys, their defaults and limits, strict YAML, and the values that
// the environment and the command line put over it.
//
// The struct tags of Config, and of what adapter methods declare ([Declare]), are the only table of keys. Of each key they
// hold the name (yaml), the default, the legal values (enum) or interval (range; in a list, of each element), what other
// frameworks call it (aka, used in suggestions), the tasks that it is for (for; without it all) and whether these need it
// (must), the modes of dmrg that it is for (modes), whether it is a file or folder (place), or changes no number of a
// run (neutral), and its meaning (doc). Checking,
// suggestions, the listing of keys and the resolved file are all read from them.
package config

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// Config is one resolved run.
type Config struct {
	Tasks   Tasks   `yaml:"task,flow" default:"mrpc" enum:"cola,sst2,mrpc,stsb,qqp,mnli,qnli,rte,wnli,sample,custom" aka:"task_name,dataset" doc:"what is learned: a GLUE task, the built-in sample task, or custom: the files that data.train and data.dev name; a list: several at once, by one adapter and a head for each; case and hyphens are ignored"`
	PerTask PerTask `yaml:"tasks,omitempty"`
	Model   Model   `yaml:"model"`
	Data    Data    `yaml:"data"`
	Adapter Adapter `yaml:"adapter"`
	Train   Train   `yaml:"train"`
	DMRG    DMRG    `yaml:"dmrg"`
	Run     Run     `yaml:"run"`
	Device  string  `yaml:"device" default:"auto" doc:"auto (cuda where there is one, else cpu), cpu, cuda or cuda:N"`
	Threads int     `yaml:"threads" neutral:"true" default:"0" range:"[0,)" aka:"num_threads" doc:"CPU threads of libtorch; 0: libtorch decides"`

	where map[string]string // of the keys that are set: the place, as in Problem
	from  map[string]int    // of the same: which source, of those that lie over one another
}

// Model is the frozen backbone.
type Model struct {
	Path    string   `yaml:"path" default:"minilm" place:"true" aka:"model_name_or_path,name" doc:"folder of a Hugging Face checkpoint, or a name that fetch knows"`
	DType   string   `yaml:"dtype" default:"fp32" enum:"fp32,bf16,tf32,auto" aka:"precision,torch_dtype" doc:"number format of the frozen weights and of products, auto being bf16 where the device computes it faster, else fp32; tf32 is fp32 whose factors a CUDA device rounds to 10 bits; adapter, head and optimizer stay fp32"`
	Dropout *float64 `yaml:"dropout" default:"null" range:"[0,1)" doc:"hidden, attention and classifier dropout; null: config.json's"`
}

// Data is where examples come from and how they are cut.
type Data struct {
	GLUE string `yaml:"glue" neutral:"true" default:"" place:"true" aka:"glue_dir,data_dir" doc:"GLUE folder; empty: $GLUE_DIR, else data/glue"`

	TrainSubset bool `yaml:"train_subset" default:"false" for:"mnli,qnli,qqp" doc:"train on train_subset.tsv, a part of the official training file, in the place of train.tsv"`

	Train    string `yaml:"train" default:"" place:"true" for:"custom" must:"true" aka:"train_file" doc:"file of own examples to train on: .tsv and .csv with a header, .jsonl or .json with an object a line, .parquet as data sets of the Hugging Face hub have them; a pattern such as train-*.parquet names the parts of one"`
	Dev      string `yaml:"dev" default:"" place:"true" for:"custom" must:"true" aka:"validation_file,eval_file" doc:"file of own examples to evaluate on"`
	Test     string `yaml:"test" default:"" place:"true" for:"custom" aka:"test_file" doc:"file of own examples for eval --split test"`
	Text     string `yaml:"text" default:"text" for:"custom" must:"true" aka:"text_column,sentence1_key" doc:"column or key of the text"`
	TextPair string `yaml:"text_pair" default:"" for:"custom" aka:"text_pair_column,sentence2_key" doc:"column or key of the second text; empty: one text an example"`
	Label    string `yaml:"label" default:"label" for:"custom" must:"true" aka:"label_column,label_column_name" doc:"column or key of the label or score"`
	Kind     string `yaml:"kind" default:"classification" enum:"classification,regression" for:"custom" aka:"problem_type" doc:"classification among the labels that data.train has, or regression of a number"`

	Shuffle   bool `yaml:"shuffle" default:"true" doc:"a new order of the training set each epoch; false: the file's order"`
	Cache     bool `yaml:"cache" neutral:"true" default:"true" aka:"use_cache" doc:"keep encoded data sets in metatt's cache folder ($METATT_HOME, else the user's)"`
	MaxLength int  `yaml:"max_length" default:"128" range:"[4,)" aka:"max_seq_length,max_len" doc:"tokens an example is cut to, special tokens included"`
	Limit     int  `yaml:"limit" default:"0" range:"[0,)" aka:"max_samples" doc:"examples of each split that are used, drawn by data.limit_seed; 0: all"`

	TrainLimit *int `yaml:"train_limit" default:"null" range:"[0,)" aka:"max_train_samples" doc:"examples of each training set that are used, drawn likewise; 0: all; null: data.limit"`
	LimitSeed  *int `yaml:"limit_seed" default:"null" range:"[0,)" doc:"seed that draws the examples that a limit leaves, so that runs of other seeds may have the same; null: train.seed"`
}

// Adapter is what is trained besides the classifier: the keys that methods have in common. What a method has of its
// own stands where the method does, and is declared to the schema ([Declare]).
type Adapter struct {
	Method   string   `yaml:"method" default:"metatt4d" aka:"peft_type,type" doc:"how the backbone is adapted; head trains the classifier alone"`
	Rank     int      `yaml:"rank" default:"8" range:"[1,)" aka:"r,lora_r" doc:"rank of every bond, or what the method has in its place"`
	Budget   int      `yaml:"budget" default:"0" range:"[0,)" aka:"max_parameters,param_budget" doc:"parameters of the adapter at most: the largest rank within them takes the place of adapter.rank; 0: no budget"`
	Alpha    *float64 `yaml:"alpha" default:"null" range:"(0,)" aka:"lora_alpha,scale,scaling" doc:"scale of the update, α of the method's equation (finetune list methods); null: the method's own. The smaller, the higher the learning rate that works: MetaTT-4D on MiniLM trains at 3e-3 with any of 0.5 to 16, with 0.5 at 1e-2 better on some tasks, and some seeds are lost"`
	Targets  []string `yaml:"targets,flow" default:"query,value" enum:"query,key,value,output,ffn_up,ffn_down" aka:"target_modules,modules" doc:"adapted matrices, in the order of the matrix mode; all: every one; loretta-adp, full, bitfit and head have places of their own"`
	InitFrom string   `yaml:"init_from" default:"" place:"true" doc:"saved adapter folder to start from; it decides method, ranks, alpha, targets and head, and what the run does not set of adapter.dropout and of the schedule in adapter.adalora"`

	Append Append `yaml:"append"`

	settings map[string]any // what methods declare, by key
}

// Append is how the run's task joins those of a trained adapter, which are kept bit for bit.
type Append struct {
	To    string `yaml:"to" default:"" place:"true" aka:"append_to" doc:"saved adapter with a task mode to append the task to, a folder or a run directory; it decides method, ranks, alpha and targets, and all that it has is frozen"`
	Start string `yaml:"start" default:"zero" aka:"append_start" doc:"start of the new task's slice: zero, mean (of the others) or the name of a task, whose slice is copied"`
	Grow  int    `yaml:"grow" default:"0" range:"[0,)" aka:"append_grow" doc:"components that the bonds beside the task mode gain, for the new task alone"`
}

// Train is the loop and its optimizer.
type Train struct {
	Epochs          int      `yaml:"epochs" default:"10" range:"[1,)" aka:"num_train_epochs,num_epochs" doc:"passes over the training set; of several tasks, as many batches as a pass over each has"`
	MaxSteps        int      `yaml:"max_steps" default:"0" range:"[0,)" aka:"steps" doc:"optimizer steps in all, in place of epochs; 0: epochs decide"`
	BatchSize       int      `yaml:"batch_size" default:"32" range:"[1,)" aka:"per_device_train_batch_size,train_batch_size" doc:"examples a micro-batch"`
	Accumulate      int      `yaml:"accumulate" default:"1" range:"[1,)" aka:"gradient_accumulation_steps,accumulation_steps" doc:"micro-batches of train.batch_size examples a step"`
	EvalBatchSize   int      `yaml:"eval_batch_size" default:"64" range:"[1,)" aka:"per_device_eval_batch_size" doc:"examples a batch of evaluation"`
	LR              float64  `yaml:"lr" default:"1e-3" range:"(0,)" aka:"learning_rate" doc:"highest learning rate"`
	HeadLR          *float64 `yaml:"head_lr" default:"null" range:"(0,)" aka:"head_learning_rate,classifier_lr" doc:"highest learning rate of the classifier head; null: train.lr"`
	Warmup          float64  `yaml:"warmup" default:"0.06" range:"[0,1]" aka:"warmup_ratio" doc:"fraction of all steps over which the learning rate rises from 0"`
	Schedule        string   `yaml:"schedule" default:"linear" enum:"linear,constant,cosine" aka:"lr_scheduler_type,scheduler" doc:"learning rate after warmup: falls to 0, linearly or as half a cosine, or stays"`
	WeightDecay     float64  `yaml:"weight_decay" default:"0" range:"[0,)" aka:"wd" doc:"decoupled weight decay of AdamW, not of biases and norms"`
	ClipNorm        float64  `yaml:"clip_norm" default:"1" range:"[0,)" aka:"max_grad_norm,grad_clip" doc:"largest norm of all gradients together; 0: no clipping"`
	Beta1           float64  `yaml:"beta1" default:"0.9" range:"[0,1)" aka:"adam_beta1" doc:"AdamW: decay of the first moment"`
	Beta2           float64  `yaml:"beta2" default:"0.999" range:"[0,1)" aka:"adam_beta2" doc:"AdamW: decay of the second moment"`
	Eps             float64  `yaml:"eps" default:"1e-8" range:"(0,)" aka:"adam_epsilon,epsilon" doc:"AdamW: added to the root of the second moment"`
	Seed            int      `yaml:"seed" default:"42" range:"[0,)" aka:"random_seed" doc:"decides the start, the order and the dropout"`
	Mixture         Mixture  `yaml:"mixture" default:"size" aka:"mixing,sampling" doc:"how a run of several tasks draws the task of a batch: by size, by its root (sqrt), all alike (uniform), in turn (round-robin), or by size to the power 1/T for a temperature T"`
	EvalEvery       Interval `yaml:"eval_every" default:"epoch" aka:"eval_steps,eval_strategy,evaluation_strategy" doc:"when the dev set is evaluated: epoch or a number of steps"`
	Patience        int      `yaml:"patience" default:"0" range:"[0,)" aka:"early_stopping_patience,early_stopping" doc:"evaluations in a row without a new best after which training ends, counted once the ranks are what they are to end with (dmrg, adalora); 0: it never ends early"`
	CheckpointEvery Interval `yaml:"checkpoint_every" neutral:"true" default:"epoch" aka:"save_steps,save_strategy" doc:"when the state to resume from is saved: epoch, never or a number of steps"`
	KeepCheckpoints int      `yaml:"keep_checkpoints" neutral:"true" default:"1" range:"[1,)" aka:"save_total_limit" doc:"newest checkpoints that are kept"`
	BestMetric      string   `yaml:"best_metric" default:"" aka:"metric_for_best_model,metric" doc:"dev metric that chooses adapter/best: accuracy, f1, macro_f1, matthews, pearson or spearman; of several tasks TASK (its own metric) or TASK.METRIC; empty: the task's own, of several tasks the mean of theirs"`
}

// DMRG is how the ranks of a tensor train are adapted between epochs.
type DMRG struct {
	Mode            string    `yaml:"mode" default:"none" enum:"none,paper,canonical,two-site,enrich,restart" aka:"sweep_mode" doc:"none: ranks stay; paper and canonical truncate every bond, enrich then adds directions, two-site trains pairs of cores as one; restart only resets the optimizer, to compare with"`
	At              []int     `yaml:"at,flow" default:"" modes:"paper,canonical,two-site,enrich,restart" range:"[0,)" aka:"epochs,sweeps" doc:"epochs (or steps) after which a sweep begins; 0: before the first; empty: every epoch of the first 60 %. Early and late cuts are compared in experiments/glue-minilm"`
	Unit            string    `yaml:"unit" default:"epoch" enum:"epoch,step" doc:"what dmrg.at counts"`
	MaxDim          []int     `yaml:"maxdim,flow" default:"" modes:"paper,canonical,two-site,enrich" range:"[0,)" aka:"max_rank,chi_max,ranks" doc:"largest rank of a bond after each cut (tol may keep more, enrich adds to it), the last value for all further sweeps; 0 or empty: no limit"`
	MinDim          []int     `yaml:"mindim,flow" default:"" modes:"paper,canonical,two-site,enrich" range:"[0,)" aka:"min_rank" doc:"rank that each sweep keeps whatever the cutoff and the budget"`
	Cutoff          []float64 `yaml:"cutoff,flow" default:"" modes:"paper,canonical,two-site,enrich" range:"[0,1)" aka:"svd_min,trunc_cut" doc:"largest share of a bond's squared singular values that each sweep may drop"`
	Budget          int       `yaml:"budget" default:"0" modes:"paper,canonical,two-site,enrich" range:"[0,)" aka:"max_parameters" doc:"parameters of the adapter at most after a cut (enrich adds to them): bonds give up first what weighs the least for a parameter; 0: no limit"`
	Balance         string    `yaml:"balance" default:"none" modes:"paper,canonical,two-site,enrich" enum:"none,scalar,sqrt" doc:"norm of the update among the cores after a sweep: where it falls, equal norms, or the roots of the singular values on either side of each bond"`
	Moments         string    `yaml:"moments" default:"auto" modes:"paper,canonical,enrich" enum:"auto,transport,reset" aka:"optimizer" doc:"AdamW's moments of the cores after a sweep: taken along with the change of gauge, or zero; auto takes them along where the mode and the method can"`
	Rewarm          int       `yaml:"rewarm" default:"15" modes:"paper,canonical,two-site,enrich,restart" range:"[0,)" doc:"steps over which the learning rate of cores rises again after their moments were reset"`
	Tol             float64   `yaml:"tol" default:"0" modes:"paper,canonical,two-site,enrich" range:"[0,)" aka:"tolerance" doc:"rise of the probe loss at which a cut is undone with more rank kept; two-site keeps the smallest rank within it; 0: not looked at"`
	ProbeBatches    int       `yaml:"probe_batches" default:"4" modes:"paper,canonical,two-site,enrich" range:"[1,)" doc:"training batches of the probe loss, always the same; held out while a pair is trained"`
	PairSteps       int       `yaml:"pair_steps" default:"30" modes:"two-site" range:"[1,)" doc:"two-site: steps of each pair of cores, of the run's own"`
	PairLength      float64   `yaml:"pair_length" default:"0.05" modes:"two-site" range:"(0,)" doc:"two-site: length of a pair's step in the update (without alpha) at the peak of the learning rate"`
	Grow            int       `yaml:"grow" default:"2" modes:"enrich" range:"[1,)" doc:"enrich: components added to each bond by every sweep but the last"`
	GradientBatches int       `yaml:"gradient_batches" default:"4" modes:"enrich" range:"[1,)" doc:"enrich: training batches whose gradient chooses the directions"`
}

// Run is where results go.
type Run struct {
	Dir         string `yaml:"dir" neutral:"true" default:"" aka:"output_dir,out" doc:"folder of the run; empty: runs/<task>-<method>-r<rank>-s<seed>, of several tasks <task>-<task>-…, of ranks that differ r<rank>-<rank>-…, of an appended task …-append-s<seed>"`
	TensorBoard bool   `yaml:"tensorboard" neutral:"true" default:"false" aka:"report_to" doc:"an event file for TensorBoard in the folder: losses, rates, dev figures, ranks, the configuration, hyper-parameters and what came of them; written every run.log_every steps"`
	LogEvery    int    `yaml:"log_every" neutral:"true" default:"10" range:"[1,)" aka:"logging_steps" doc:"steps between printed lines where there is no terminal"`
	Predictions bool   `yaml:"predictions" neutral:"true" default:"false" aka:"save_predictions,keep_predictions" doc:"keep what the best adapter predicts for each dev example, as predictions.jsonl beside it and, when the run has ended, in the run's folder: finetune report compares runs by them"`
}

// Overrides reports whether key ("adapter.rank") was put over the files: as key=value on the command line, or by [LoadSettings].
func (c *Config) Overrides(key string) bool { return c.from[key] == overriding }

// YAML returns the resolved configuration: every key in the schema's order, without comments. Loading it again
// gives an equal Config.
func (c *Config) YAML() ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(c); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}
