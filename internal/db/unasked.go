package db

import "context"

type unasked struct{}

// Unasked is a context for reads that no request asks for, such as a server's
// own looks from time to time. Counters leave them out.
func Unasked(ctx context.Context) context.Context { return context.WithValue(ctx, unasked{}, true) }

func isUnasked(ctx context.Context) bool { return ctx.Value(unasked{}) != nil }
