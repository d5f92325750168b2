// Package share is how much one may have of what many want.
package share

// Of is what one may have of all when others hold that much: as much as it leaves free. One
// alone may so have a half, two a third each, and who comes next always half of what is left; who
// has more, because it came first, gets no more until it has given back what it has too much.
func Of[N int | int64](all, others N) N { return max(1, (all-others)/2) }
