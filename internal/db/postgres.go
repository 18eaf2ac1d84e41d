package db

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	poolWait       = 2 * time.Second // for a free connection
	connectTimeout = 2 * time.Second // unless the URL has connect_timeout
)

// openPostgres opens a pgx pool. A statement is prepared on a connection the
// first time it is used there, and is one round trip from then on.
func openPostgres(ctx context.Context, rawURL string) (*DB, error) {
	config, size, err := postgresConfig(rawURL)
	if err != nil {
		return nil, err
	}
	return openPool(ctx, config, size)
}

func openPool(ctx context.Context, config *pgxpool.Config, size int) (*DB, error) {
	conns, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", classify(err))
	}
	p, over := newPool(pgConns{conns}, size, poolWait), stdlib.OpenDBFromPool(conns)
	d := &DB{engine: Postgres, reads: p, writes: p, goose: over, close: func() error {
		err := over.Close()
		conns.Close()
		return err
	}}
	if err := d.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open PostgreSQL: %w", err), d.Close())
	}
	return d, nil
}

// postgresConfig reads the URL. Its errors never repeat it: it holds a password.
func postgresConfig(rawURL string) (*pgxpool.Config, int, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, 0, errors.New("open PostgreSQL: the URL cannot be parsed")
	}
	config, err := pgxpool.ParseConfig(rawURL)
	if err != nil {
		return nil, 0, errors.New("open PostgreSQL: the URL or one of its parameters is not valid")
	}
	if config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, 0, errors.New("open PostgreSQL: the simple protocol is refused; take default_query_exec_mode out of the URL")
	}
	size := int(config.MaxConns)
	if !u.Query().Has("pool_max_conns") {
		size = max(6, 3*runtime.GOMAXPROCS(0)) // more of them only queue for the cores
	}
	config.MaxConns = int32(size) + 1 // one more for Ping
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "dialtone"
	}
	// If this machine falls off the network, the server lets go of the rows that
	// its transactions had locked.
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, fmt.Sprintf("SET idle_in_transaction_session_timeout = %d", 2*guardTime.Milliseconds()))
		return err
	}
	// A client that hangs up cancels its context. By default that would cost the
	// connection at once; our statements are short, so they may finish first.
	config.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{
			Conn:               c,
			CancelRequestDelay: time.Second,
			DeadlineDelay:      2 * time.Second,
		}
	}
	return config, size, nil
}
