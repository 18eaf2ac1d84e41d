package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/user"
)

// Where rows have to go one by one and one of them fails, those before it are
// there, and counted.
func TestAnImportSaysHowFarItCame(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		vault, err := signing.OpenVault(t.Context(), d, [][]byte{bytes.Repeat([]byte{1}, 32)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Exec(t.Context(), `CREATE UNIQUE INDEX users_claims ON users (claims)`); err != nil { // the third row conflicts for good
			t.Fatal(err)
		}
		rows, err := user.CSVRows(strings.NewReader("phone,nickname\n+8613800138000,a\n+8613800138001,b\n+8613800138002,a\n+8613800138003,c\n"))
		if err != nil {
			t.Fatal(err)
		}
		i := importing{rows: rows, report: io.Discard, bar: newBar(io.Discard, 0)}
		err = i.run(t.Context(), user.New(d, vault, audit.New(d)))
		if err == nil || !strings.Contains(err.Error(), "from line 4 on nothing was imported") || i.count.Created != 2 {
			t.Errorf("%+v, %v", i.count, err)
		}
	})
}
