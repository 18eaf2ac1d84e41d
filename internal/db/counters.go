package db

import "sync/atomic"

// Counters say what was asked of the database since Open. BEGIN and COMMIT are
// no statements; a transaction is one commit.
type Counters struct {
	Reads        int64 // SELECTs outside a transaction, but those under Unasked
	Writes       int64 // other statements outside a transaction; each commits by itself
	TxStatements int64 // statements inside transactions, of retried runs too
	Commits      int64 // transactions committed, single writing statements included
}

type counters struct {
	reads, writes, txStatements, commits atomic.Int64
}

// Counters returns the present counts.
func (d *DB) Counters() Counters {
	return Counters{
		Reads:        d.count.reads.Load(),
		Writes:       d.count.writes.Load(),
		TxStatements: d.count.txStatements.Load(),
		Commits:      d.count.commits.Load(),
	}
}
