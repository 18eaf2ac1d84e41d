package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/server"
	"github.com/dialtone-id/dialtone/internal/sms"
)

func (a *app) sms() *cobra.Command {
	unblock := &cobra.Command{
		Use: "unblock +NUMBER", Short: "Let a number sign in by SMS again after too many wrong codes", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := sms.FromE164(args[0])
			if err != nil {
				return err
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				if err := sms.Unblock(ctx, core.DB, core.Vault, core.Audit, n); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), n.String()+" may try again")
				return err
			})
		},
	}
	return group("sms", "Text messages and the numbers they go to", a.smsStatus(), a.smsTest(), a.smsFake(), unblock)
}
