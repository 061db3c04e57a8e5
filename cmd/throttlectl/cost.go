package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/throttlerd/throttlerd/scheduler"
)

// parseCost reads --cost: a number for all limits, NAME=NUMBER for one, or several with
// commas between. What only the task itself decides is left to SubmitRequest.Validate.
func parseCost(text string, r *scheduler.SubmitRequest) error {
	for part := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(part, "=")
		if !named {
			value = part
		}
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil || named && name == "":
			return usagef("--cost %q is not a whole number of tokens, nor LIMIT=NUMBER; write for example 3, or 2,github=1", part)
		case named:
			err = setCost(r, name, n)
		case r.Cost != 0:
			err = errors.New("the cost for all limits is given twice")
		default:
			err = setCostForAll(r, n)
		}
		if err != nil {
			return usagef("--cost: %w", err)
		}
	}
	return nil
}

func setCostForAll(r *scheduler.SubmitRequest, n int64) error {
	if n == 0 {
		return errors.New("0 for all limits is refused; LIMIT=0 takes a task out of one limit")
	}
	r.Cost = n
	return nil
}

func setCost(r *scheduler.SubmitRequest, limit string, n int64) error {
	if _, twice := r.Costs[limit]; twice {
		return fmt.Errorf("limit %q is given twice", limit)
	}
	if r.Costs == nil {
		r.Costs = map[string]int64{}
	}
	r.Costs[limit] = n
	return nil
}

// costField reads the cost of an envelope: a number, or an object of numbers by limit.
func costField(r *scheduler.SubmitRequest, value json.RawMessage) error {
	wrong := fmt.Errorf(`"cost" must be a whole number of tokens, or an object of them by limit, as in {"github":1}, not %s`, cut(string(value), 40))
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		if err := setCostForAll(r, n); err != nil {
			return fmt.Errorf(`"cost": %w`, err)
		}
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if t, _ := d.Token(); t != json.Delim('{') {
		return wrong
	}
	for d.More() {
		name, _ := d.Token()
		value, err := d.Token()
		number, ok := value.(json.Number)
		if err != nil || !ok {
			return wrong
		}
		n, err := number.Int64()
		if err != nil {
			return wrong
		}
		if err := setCost(r, fmt.Sprint(name), n); err != nil {
			return fmt.Errorf(`"cost": %w`, err)
		}
	}
	return nil
}

// costText is a task's cost as --cost takes it; "" where it is one token of each limit.
func costText(cost int64, costs map[string]int64) string {
	var words []string
	if cost > 1 {
		words = append(words, strconv.FormatInt(cost, 10))
	}
	for _, limit := range slices.Sorted(maps.Keys(costs)) {
		words = append(words, fmt.Sprintf("%s=%d", limit, costs[limit]))
	}
	return strings.Join(words, ",")
}
