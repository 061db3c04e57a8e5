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
	best, nearest := 2+len(name)/4, ""
	for _, n := range names {
		if d := distance(name, n); d < best {
			best, nearest = d, n
		}
	}
	return nearest
}

// distance counts the bytes to insert, delete or replace to turn a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
