package tt

// Factors cuts a size n ≥ 1 into the modes of a train: at most three factors
// above 1 in rising order, as nearly equal (of the smallest sum) as n's prime
// factors allow. A prime is one factor, and so is 1.
func Factors(n int64) []int64 {
	var three []int64
	for a := int64(2); a*a*a <= n; a++ {
		if n%a != 0 {
			continue
		}
		for b := a; a*b*b <= n; b++ {
			if c := n / (a * b); a*b*c == n && (three == nil || a+b+c < three[0]+three[1]+three[2]) {
				three = []int64{a, b, c}
			}
		}
	}
	if three != nil {
		return three
	}
	for a := int64(2); a*a <= n; a++ {
		if n%a == 0 { // at most two primes: there is one way
			return []int64{a, n / a}
		}
	}
	return []int64{n}
}
