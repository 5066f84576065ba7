package glue

import "github.com/metatt/metatt/pkg/download"

// officialHost is where GLUE's download script takes everything from.
const officialHost = "https://dl.fbaipublicfiles.com"

// release is what the benchmark publishes of one task: what is downloaded, and what the task's folder holds of it. The
// downloads' checksums are those of Hugging Face's datasets/glue/dataset_infos.json and of TensorFlow Datasets'
// url_checksums/glue.txt.
type release struct {
	downloads []download.File // by their paths on the host
	unpack    unpacker
	files     []released
}

// released is one file of a task's folder, by its SHA-256. Where none has been published, its number of examples as
// Hugging Face counts them, and its form, stand in; the checksum of the archive holds for it all the same.
type released struct {
	name, sha256 string
	examples     int
}

func archive(path string, size int64, sha256 string) []download.File {
	return []download.File{{Name: path, Size: size, Digest: sha256}}
}

// releases are the tasks' by their names.
var releases = map[string]release{
	"CoLA": {
		archive("glue/data/CoLA.zip", 376_971, "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff"), unzip,
		[]released{
			{name: "train.tsv", sha256: "cb368ebeb9f27d7ad03720d27ddc95687a311bdb100781a2fe59a5f5b1bc0624"},
			{name: "dev.tsv", sha256: "8c013e21dc39957cac37378d87bebe225b694a0d5fe13eded66c2856628833fd"},
			{name: "test.tsv", sha256: "3b4df85f7a9a0633574b38d181e18090ac961a24b18fb6bcd74999ddea8ad0b8"},
		},
	},
	"SST-2": {
		archive("glue/data/SST-2.zip", 7_439_277, "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa"), unzip,
		[]released{
			{name: "train.tsv", sha256: "48eac26399f8456935f81dd9e3a745c1430adb6c62e233ccfe22db4a0d15d1d1"},
			{name: "dev.tsv", sha256: "54a9c12c77e402fc14d6a66a506f24d999f596b0176eb777c972cccc2f9cc4b0"},
			{name: "test.tsv", sha256: "69a938605609b3e6663b4487918fe1565eb293734e6e520d0366d1d412fd2a13"},
		},
	},
	"MRPC": {
		[]download.File{
			{Name: mrpcTrain, Size: 1_047_044, Digest: "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89"},
			{Name: mrpcTest, Size: 441_275, Digest: "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784"},
			{Name: mrpcDevIDs, Size: 6_222, Digest: "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7"},
		}, assembleMRPC,
		[]released{
			{name: "train.tsv", sha256: "69abcedee3cf738c6ce58d772e43e1b7cdf5b4edee4aceda459c0d9f4e5599f3"},
			{name: "dev.tsv", sha256: "9e8f284788040f7c9ecde2e1b3c07237c756f926bd9ef8548ef5d34b56f69f17"},
			{name: "test.tsv", sha256: "aee460ceda833926b8ab2ad952d399f5cf8bc9335cff19afcac03dc449558622"},
		},
	},
	"STS-B": {
		archive("glue/data/STS-B.zip", 802_872, "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85"), unzip,
		[]released{
			{name: "train.tsv", sha256: "41c4d978b6162abdcada7e49a982211954cca5459c228db478af333124b257a2"},
			{name: "dev.tsv", sha256: "fe7dc0632a5033562f3cadff991f6e8d9b9b6311861660e78c3c82eb7db67f59"},
			{name: "test.tsv", sha256: "16b4223d7d44a644fbc10f1b449472cfe81e1715fb07cf44023b0aa88ce856eb"},
		},
	},
	"QQP": {
		archive("glue/data/QQP-clean.zip", 41_696_084, "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0"), unzip,
		[]released{
			{name: "train.tsv", examples: 363_846},
			{name: "dev.tsv", sha256: "a7d4f18a616cadcb876b53857c7a44bb5c1a573763af86935dce368fa8c4ac6e"},
			{name: "test.tsv", examples: 390_965},
		},
	},
	"MNLI": {
		archive("glue/data/MNLI.zip", 312_783_507, "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633"), unzip,
		[]released{
			{name: "train.tsv", examples: 392_702},
			{name: "dev_matched.tsv", sha256: "3fb84bd82f586a987db9c82c9c07396469efd5f56757ed0081089aa29fe57a46"},
			{name: "dev_mismatched.tsv", sha256: "6b8d88056b1261ce2bbe606a400c42454b54b82d6fb47ab34d8a8435511f03bb"},
			{name: "test_matched.tsv", sha256: "64a0ba5bb6cb8bfb0a5a69911f2c8b6633b7ea0dddc4b69a4e50b8e8b345a7f4"},
			{name: "test_mismatched.tsv", sha256: "498446e158111fede73e38aa02b494babac70655d441ec631cc38ce1ed22865f"},
		},
	},
	"QNLI": {
		archive("glue/data/QNLIv2.zip", 10_627_589, "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5"), unzip,
		[]released{
			{name: "train.tsv", examples: 104_743},
			{name: "dev.tsv", sha256: "ac19409dcb04631eaaa094bdebdcf621086bc352503dfb6a1a648b614986f4fd"},
			{name: "test.tsv", sha256: "6d856264e292fa7a7bc7b8e182efa1454ffd9532733c12ad813017dd5b377a5a"},
		},
	},
	"RTE": {
		archive("glue/data/RTE.zip", 697_150, "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee"), unzip,
		[]released{
			{name: "train.tsv", sha256: "41e3a9b063433392343fad9e962cf2f58b681c78d8f71592f4186f0837246c5c"},
			{name: "dev.tsv", sha256: "80230dfa1347282e7b532b06a1004a76a710087541189bf874223ddf0e3819fb"},
			{name: "test.tsv", sha256: "6e33f09b5c2bfd5fd5fde217070f3dd49e484e33b9752b5864cf36fc421a213f"},
		},
	},
	"WNLI": {
		archive("glue/data/WNLI.zip", 28_999, "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46"), unzip,
		[]released{
			{name: "train.tsv", sha256: "9a88e9d54b6861cc796a088e9acf4f5f65064a9ef65ae6fa7a688b28391e5c9a"},
			{name: "dev.tsv", sha256: "cba00490596dd14be8cf53b4f53bb744abe3a7b89f81ab210528d80225338ed5"},
			{name: "test.tsv", sha256: "ff0296817e235bf6f7a230c5f6781bd6ee228a45445f6510831fdef6f2a04766"},
		},
	},
	"AX": {
		archive("glue/data/AX.tsv", 222_257, "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd"), rename,
		[]released{{name: "diagnostic.tsv", sha256: "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd"}},
	},
}
