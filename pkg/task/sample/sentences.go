package sample

// people are the X and Y of the relations.
var people = []string{
	"baker", "pilot", "doctor", "farmer", "singer", "lawyer", "painter", "soldier",
	"teacher", "sailor", "nurse", "writer", "driver", "dancer", "judge", "student",
	"tailor", "miner", "waiter", "guard", "banker", "actor", "hunter", "clerk",
}

// relations may hold of X and Y and not of Y and X. Each has two phrasings, one
// that names X first and one that names Y first.
var relations = [][2]string{
	{"the X helped the Y .", "the Y was helped by the X ."},
	{"the X thanked the Y .", "the Y was thanked by the X ."},
	{"the X warned the Y .", "the Y was warned by the X ."},
	{"the X visited the Y .", "the Y was visited by the X ."},
	{"the X praised the Y .", "the Y was praised by the X ."},
	{"the X invited the Y .", "the Y was invited by the X ."},
	{"the X paid the Y .", "the Y was paid by the X ."},
	{"the X hired the Y .", "the Y was hired by the X ."},
	{"the X greeted the Y .", "the Y was greeted by the X ."},
	{"the X watched the Y .", "the Y was watched by the X ."},

	{"the X is older than the Y .", "the Y is younger than the X ."},
	{"the X is taller than the Y .", "the Y is shorter than the X ."},
	{"the X is faster than the Y .", "the Y is slower than the X ."},
	{"the X left before the Y .", "the Y left after the X ."},
}
