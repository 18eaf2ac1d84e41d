package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/db"
)

func (a *app) migrate() *cobra.Command {
	open := func(cmd *cobra.Command) (*db.DB, error) {
		c, err := a.load("")
		if err != nil {
			return nil, err
		}
		return db.Open(cmd.Context(), c.DatabaseURL())
	}
	up := &cobra.Command{
		Use: "up", Short: "Bring the database to this binary's schema", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := open(cmd)
			if err != nil {
				return err
			}
			defer d.Close() //nolint:errcheck // nothing is pending
			if err := d.Migrate(cmd.Context()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the database is up to date")
			return err
		},
	}
	status := &cobra.Command{
		Use: "status", Short: "Show which migrations ran", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := open(cmd)
			if err != nil {
				return err
			}
			defer d.Close() //nolint:errcheck // nothing is pending
			list, err := d.Status(cmd.Context())
			if err != nil {
				return err
			}
			t := table{head: []string{"version", "name", "state"}}
			for _, m := range list {
				state := "pending"
				if m.Applied {
					state = "applied"
				}
				t.rows = append(t.rows, []string{strconv.FormatInt(m.Version, 10), m.Name, state})
			}
			return a.print(cmd, list, t)
		},
	}
	return group("migrate", "Change the database's schema (SQLite does it by itself)", up, status)
}
