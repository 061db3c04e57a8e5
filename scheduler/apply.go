package scheduler

import (
	"context"
	"fmt"
)

// Declaration is the queues that one owner's file declares.
type Declaration struct {
	Owner  string
	Queues map[string]QueueSpec
}

// Apply brings the declared queues to what the file says: new ones are created,
// existing ones changed but for what was overridden by hand, and queues of this owner
// that are in the file no more are held and kept. A queue that another owner declares
// is an *OwnedError, found before anything is changed.
func (c *Client) Apply(ctx context.Context, d Declaration) error {
	names := sortedKeys(d.Queues)
	for _, name := range names {
		if err := CheckName("queue", name); err != nil {
			return err
		}
		if err := d.Queues[name].Validate(); err != nil {
			return fmt.Errorf("queue %q: %w", name, err)
		}
	}
	for _, mode := range []string{"check", "apply"} {
		for _, name := range names {
			reply, err := c.run(ctx, defineScript, append([]any{mode, name, d.Owner}, d.Queues[name].fields()...)...)
			if err != nil {
				return fmt.Errorf("%s queue %q: %w", mode, name, err)
			}
			if reply[0].(int64) == -1 {
				return fmt.Errorf("declare it for owner %q: %w; rename it, or let one owner's file declare it", d.Owner, &OwnedError{Queue: name, Owner: reply[1].(string)})
			}
		}
	}
	owned, err := c.rdb.SMembers(ctx, c.keys.owned(d.Owner)).Result()
	if err != nil {
		return fmt.Errorf("queues of owner %q: %w", d.Owner, redisError(err))
	}
	for _, name := range owned {
		if _, ok := d.Queues[name]; ok {
			continue
		}
		if _, err := c.run(ctx, defineScript, "undeclare", name, d.Owner); err != nil {
			return fmt.Errorf("undeclare queue %q: %w", name, err)
		}
	}
	return nil
}
