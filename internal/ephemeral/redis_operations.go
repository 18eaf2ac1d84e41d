package ephemeral

import (
	"context"
	"time"
)

func (r *Redis) itemKey(kind, id string) []string { return []string{r.prefix + "i:" + kind + ":" + id} }

// Put keeps the value under a key of its own.
func (r *Redis) Put(ctx context.Context, kind string, value []byte, ttl time.Duration) (string, error) {
	if err := checkLife("ttl", ttl); err != nil {
		return "", err
	}
	id := newID(inRedis)
	if _, err := r.run(ctx, putScript, r.itemKey(kind, id), value, milliseconds(ttl)); err != nil {
		return "", err
	}
	return id, nil
}

// Get reads the key.
func (r *Redis) Get(ctx context.Context, kind, id string) ([]byte, error) {
	if !isID(inRedis, id) {
		return nil, ErrNotFound
	}
	reply, err := r.run(ctx, getScript, r.itemKey(kind, id))
	if err != nil {
		return nil, err
	}
	return item(getScript, reply)
}

// Take reads the key and replaces it by the tombstone, or deletes it.
func (r *Redis) Take(ctx context.Context, kind, id string, tombstone []byte, keep time.Duration) ([]byte, error) {
	if !isID(inRedis, id) {
		return nil, ErrNotFound
	}
	reply, err := r.run(ctx, takeScript, r.itemKey(kind, id), tombstone, milliseconds(max(keep, 0)))
	if err != nil {
		return nil, err
	}
	return item(takeScript, reply)
}

// item reads what the scripts call held.
func item(s script, reply any) ([]byte, error) {
	if reply == nil {
		return nil, ErrNotFound
	}
	text, _ := reply.(string)
	switch {
	case text != "" && text[0] == 't':
		return []byte(text[1:]), ErrUsed
	case len(text) >= itemHeader && text[0] == 'v':
		return []byte(text[itemHeader:]), nil
	}
	return nil, errReply(s, reply)
}

// Swap compares and sets the key.
func (r *Redis) Swap(ctx context.Context, kind, id string, old, next []byte) (bool, error) {
	if !isID(inRedis, id) {
		return false, nil
	}
	n, err := r.number(ctx, swapScript, r.itemKey(kind, id), old, next)
	return n == 1, err
}

// Mark sets a key that is not there. [Failover] never asks it: see the package
// comment.
func (r *Redis) Mark(ctx context.Context, kind, key string, ttl time.Duration) (bool, error) {
	if err := checkLife("ttl", ttl); err != nil {
		return false, err
	}
	n, err := r.number(ctx, markScript, []string{r.prefix + "m:" + keyOf(kind, key)}, milliseconds(ttl))
	return n == 1, err
}

// Marked looks whether there is such a key.
func (r *Redis) Marked(ctx context.Context, kind, key string) (bool, error) {
	n, err := r.number(ctx, markedScript, []string{r.prefix + "m:" + keyOf(kind, key)})
	return n == 1, err
}

// Add counts in a key that expires.
func (r *Redis) Add(ctx context.Context, key string, n int64, life time.Duration) (int64, error) {
	if err := checkLife("life", life); err != nil {
		return 0, err
	}
	return r.number(ctx, addScript, []string{r.prefix + "c:" + keyOf("counter", key)}, n, milliseconds(life))
}

func (r *Redis) number(ctx context.Context, s script, keys []string, args ...any) (int64, error) {
	reply, err := r.run(ctx, s, keys, args...)
	if err != nil {
		return 0, err
	}
	n, ok := reply.(int64)
	if !ok {
		return 0, errReply(s, reply)
	}
	return n, nil
}

// logKeys are in one hash slot, that of "l", so that one script may use several.
func (r *Redis) logKeys(rules []rule) []string {
	keys := make([]string, len(rules))
	for i, rule := range rules {
		keys[i] = r.prefix + "{l}:" + rule.key
	}
	return keys
}

// Spend is one script over all limits.
func (r *Redis) Spend(ctx context.Context, limits []Limit) (Decision, error) {
	if len(limits) == 0 {
		return Decision{Allowed: true, store: inRedis}, nil
	}
	now := r.now()
	rules, err := rulesOf(limits, now)
	if err != nil {
		return Decision{}, err
	}
	args := make([]any, 0, 1+4*len(rules))
	args = append(args, now.UnixMicro())
	for _, rule := range rules {
		args = append(args, rule.max, rule.own, rule.per, rule.at)
	}
	reply, err := r.run(ctx, spendScript, r.logKeys(rules), args...)
	if err != nil {
		return Decision{}, err
	}
	return decision(reply, len(rules))
}

// decision reads what spendScript returns.
func decision(reply any, limits int) (Decision, error) {
	words, _ := reply.([]any)
	numbers := make([]int64, len(words))
	for i, w := range words {
		n, ok := w.(int64)
		if !ok {
			return Decision{}, errReply(spendScript, w)
		}
		numbers[i] = n
	}
	switch {
	case len(numbers) == 3 && numbers[0] > 0:
		return Decision{
			Refused:    int(numbers[0]) - 1,
			Soft:       numbers[1] == 1,
			RetryAfter: time.Duration(numbers[2]) * time.Microsecond,
			store:      inRedis,
		}, nil
	case len(numbers) == 1+limits && numbers[0] == 0:
		return Decision{Allowed: true, store: inRedis, at: numbers[1:]}, nil
	}
	return Decision{}, errReply(spendScript, reply)
}

// Refund takes the spends out of their logs again.
func (r *Redis) Refund(ctx context.Context, limits []Limit, d Decision) error {
	if !d.Allowed || len(d.at) != len(limits) || d.store != inRedis {
		return errForeignDecision
	}
	if len(limits) == 0 {
		return nil
	}
	rules, err := rulesOf(limits, r.now())
	if err != nil {
		return err
	}
	args := make([]any, len(rules))
	for i := range rules {
		args[i] = d.at[i]
	}
	_, err = r.run(ctx, refundScript, r.logKeys(rules), args...)
	return err
}
