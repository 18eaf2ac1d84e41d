package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/server"
	"github.com/dialtone-id/dialtone/internal/signing"
)

func (a *app) key() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "Show the signing keys", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				keys, err := core.Ring.List(ctx)
				if err != nil {
					return err
				}
				t := table{head: []string{"kid", "alg", "state", "created", "active since", "retired"}}
				for _, k := range keys {
					t.rows = append(t.rows, []string{k.ID, string(k.Algorithm), k.State, day(k.CreatedAt), day(k.ActivatedAt), day(k.RetiredAt)})
				}
				return a.print(cmd, keys, t)
			})
		},
	}
	var now, distrust bool
	rotate := &cobra.Command{
		Use: "rotate ALG", Short: "Make the next key of an algorithm (RS256, ES256, PS256, EdDSA) the active one",
		Long: `Make the next key of an algorithm the active one. Running servers follow within a
second, and tokens that the old key signed stay valid.

A key that clients could not have fetched yet is refused; --now does it anyway, at
the cost of clients failing until they fetch the keys again.

--now --distrust is for a key that somebody else may have: it and the retired keys of
the algorithm are deleted, and every token that they signed is refused. If the next key
may be known as well, do it twice.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				do := core.Ring.Rotate
				switch {
				case distrust && !now:
					return fmt.Errorf("%w: --distrust goes with --now", errUsage)
				case distrust:
					do = core.Ring.Distrust
				case now:
					do = core.Ring.RotateNow
				}
				if err := do(ctx, signing.Algorithm(args[0])); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), args[0]+" rotated")
				return err
			})
		},
	}
	rotate.Flags().BoolVar(&now, "now", false, "even if clients could not have fetched the next key yet")
	rotate.Flags().BoolVar(&distrust, "distrust", false, "with --now: refuse what the old keys signed, at once")
	return group("key", "Signing keys", list, rotate)
}

// day is a time as tables show it, empty for none.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}
