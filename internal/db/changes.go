package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Touch says, in the transaction in ctx, that a topic such as "clients" or
// "keys" changed, so that every server's Watch notices once it is committed.
func (d *DB) Touch(ctx context.Context, topic string) error {
	_, err := d.Exec(ctx, `
		INSERT INTO changes (topic, version) VALUES ($1, 1)
		ON CONFLICT (topic) DO UPDATE SET version = changes.version + 1`, topic)
	if err != nil {
		return fmt.Errorf("touch %s: %w", topic, err)
	}
	return nil
}

// Watch calls changed with each topic that this or another process touched. It
// looks every interval until ctx ends. The first look reports every topic that
// was ever touched, since what the caller loaded before may be older. Versions
// are kept in the table, so an outage delays a report and never loses it; it is
// logged once. A topic for which changed fails is reported again with the next look.
func (d *DB) Watch(ctx context.Context, interval time.Duration, changed func(topic string) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	seen := map[string]int64{}
	away := false
	for {
		err := d.look(ctx, seen, changed)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !away:
			slog.WarnContext(ctx, "cannot look for changes, trying on", "error", err)
		case err == nil && away:
			slog.InfoContext(ctx, "looking for changes again")
		}
		away = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// lookTime bounds one look: a silent connection must not end the watch.
const lookTime = 5 * time.Second

// look reports the topics whose version is not the one seen last. A version
// may be lower after a restore, which is a change as well.
func (d *DB) look(ctx context.Context, seen map[string]int64, changed func(topic string) error) error {
	found, err := d.versions(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for topic, version := range found {
		if last, ok := seen[topic]; ok && last == version {
			continue
		}
		if err := changed(topic); err != nil {
			errs = append(errs, fmt.Errorf("take in changes of %s: %w", topic, err))
			continue
		}
		seen[topic] = version // not before: what is seen is not reported again
	}
	return errors.Join(errs...)
}

// versions are those of all topics, read to the end.
func (d *DB) versions(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	rows, err := d.Query(Unasked(ctx), `SELECT topic, version FROM changes`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]int64{}
	for rows.Next() {
		var topic string
		var version int64
		if err := rows.Scan(&topic, &version); err != nil {
			return nil, err
		}
		found[topic] = version
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return found, rows.Close()
}
