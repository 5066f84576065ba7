package fit

// knownUnavailable are the functions of gotch v0.9.1's C++ that do not compile
// against a release of libtorch, each set found by compiling. A release that is
// not here is found out the same way.
var knownUnavailable = map[string][]string{
	"2.1.0": {},
	"2.11.0": {
		"atg__cslt_sparse_mm", "atg__scaled_mm", "atg__scaled_mm_out",
	},
	"2.15.0": {
		"atg__cslt_sparse_mm", "atg__scaled_mm", "atg__scaled_mm_out",
		"atg_align_as", "atg_align_tensors",
		"atg_cholesky", "atg_cholesky_out", "atg_qr", "atg_qr_q",
	},
}
