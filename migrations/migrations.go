// Package migrations embeds the schema: one set of SQL files, forward only, that
// SQLite and PostgreSQL both run unchanged. The portable subset is TEXT, BYTEA,
// BIGINT (times are Unix microseconds) and BOOLEAN; ids are made in Go.
package migrations

import "embed"

// Files holds the goose migrations, named NNNNN_what.sql.
//
//go:embed *.sql
var Files embed.FS
