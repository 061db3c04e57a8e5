package ratelimit

// ValidName reports whether s can name a namespace, a queue or a limit:
// [a-z0-9][a-z0-9_.-]{0,63}.
func ValidName(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// Nearest returns the one of names that a person who typed name most likely meant: the
// least changes of a letter away (the first of several), at most one and one more for
// each four letters. It returns "" when none is that near.
func Nearest(name string, names []string) string {
	best, nearest := 2+(len(name)-1)/4, ""
	for _, n := range names {
		if d := distance(name, n); d < best {
			best, nearest = d, n
		}
	}
	return nearest
}

// distance counts the bytes to insert, delete, replace or swap with the next one to turn
// a into b (optimal string alignment).
func distance(a, b string) int {
	row := func() []int { return make([]int, len(b)+1) }
	before, last, next := row(), row(), row()
	for j := range next {
		next[j] = j
	}
	for i := range len(a) {
		before, last, next = last, next, before
		next[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, last[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
	}
	return next[len(b)]
}
