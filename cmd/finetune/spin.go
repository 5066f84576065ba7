package main

// Threads that wait for an operation's other threads spin, by libgomp's default
// 300000 times before they sleep. That costs nothing on an idle machine; where
// another process computes on the same cores it takes from the very threads that
// are waited for, and a run is nearly three times slower. libgomp reads its
// environment when it is loaded, before main and before any constructor of this
// program; so the program starts itself again at once, by execve, with
// GOMP_SPINCOUNT set. What the user has set, GOMP_SPINCOUNT or OMP_WAIT_POLICY,
// stands. Where the program cannot start itself again, it goes on as it is.

import "C"

// spinning is what the process was told of how its threads wait.
func (p *program) spinning() string {
	for _, variable := range []string{"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} {
		if value, set := p.env(variable); set {
			return variable + "=" + value
		}
	}
	return "libgomp's own"
}
