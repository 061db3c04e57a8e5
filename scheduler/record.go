package scheduler

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// record is a task as it stands in Redis, in the format of lua/record.lua.
type record struct {
	OwnID     string            // i
	Type      string            // t
	Key       string            // k
	Headers   map[string]string // h, as JSON
	Cost      int64             // n: of each limit that Costs does not name; 1 when there is no field
	Costs     map[string]int64  // n
	Attempts  int               // a: charged runs so far
	Crashes   int               // c: deaths of its plugin process while it ran
	Throttles int               // T: times that it was throttled
	LastError string            // e
	Worker    string            // w: that ran it last, where that run did not end well
	Start     int64             // s: of that run
	Payload   []byte
}

func (r *record) encode() []byte {
	b := make([]byte, 0, len(r.Payload)+len(r.OwnID)+len(r.Type)+len(r.Key)+16)
	field := func(tag byte, v string) {
		if v != "" {
			b = append(b, tag)
			b = strconv.AppendInt(b, int64(len(v)), 10)
			b = append(b, ':')
			b = append(b, v...)
		}
	}
	field('i', r.OwnID)
	field('t', r.Type)
	field('k', r.Key)
	field('n', encodeCosts(r.Cost, r.Costs))
	if len(r.Headers) > 0 {
		h, _ := json.Marshal(r.Headers) // a map of strings always encodes
		field('h', string(h))
	}
	b = append(b, '\n')
	return append(b, r.Payload...)
}

func decodeRecord(s string) (record, error) {
	r := record{Cost: 1}
	for s != "" && s[0] != '\n' {
		tag := s[0]
		n, rest, ok := strings.Cut(s[1:], ":")
		size, err := strconv.Atoi(n)
		if !ok || err != nil || size < 0 || size > len(rest) {
			return r, fmt.Errorf("damaged record at field %q", tag)
		}
		v := rest[:size]
		s = rest[size:]
		switch tag {
		case 'i':
			r.OwnID = v
		case 't':
			r.Type = v
		case 'k':
			r.Key = v
		case 'e':
			r.LastError = v
		case 'w':
			r.Worker = v
		case 's':
			r.Start, err = strconv.ParseInt(v, 10, 64)
		case 'a':
			r.Attempts, err = strconv.Atoi(v)
		case 'c':
			r.Crashes, err = strconv.Atoi(v)
		case 'T':
			r.Throttles, err = strconv.Atoi(v)
		case 'n':
			r.Cost, r.Costs = decodeCosts(v)
		case 'h':
			err = json.Unmarshal([]byte(v), &r.Headers)
		}
		if err != nil {
			return r, fmt.Errorf("damaged record at field %q: %w", tag, err)
		}
	}
	if s == "" {
		return r, fmt.Errorf("damaged record: no payload")
	}
	r.Payload = []byte(s[1:])
	return r, nil
}

// parseID returns the instant of submit that an internal id carries and its queue's number,
// ok is false for anything else.
func parseID(id string) (submitted time.Time, number string, ok bool) {
	at, no, found := strings.Cut(id, "-")
	if !found || len(at) != 13 || no == "" || len(no) > 13 {
		return time.Time{}, "", false
	}
	us, err := strconv.ParseInt(at, 16, 64)
	if err != nil || strings.ToLower(id) != id {
		return time.Time{}, "", false
	}
	n, err := strconv.ParseInt(no, 16, 64)
	if err != nil {
		return time.Time{}, "", false
	}
	return time.UnixMicro(us), strconv.FormatInt(n, 10), true
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
