package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/server"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/user"
)

func (a *app) user() *cobra.Command {
	return group("user", "People and their accounts",
		a.userGet(), a.userList(), a.userCreate(), a.userUpdate(),
		a.userVerb("disable", "Refuse an account everywhere, from the next request on", (*user.Service).Disable),
		a.userVerb("enable", "Let a disabled account in again", (*user.Service).Enable),
		a.userVerb("delete", "Erase an account at once; its number is free again", (*user.Service).Delete),
		a.userVerb("reset-factors", "Take passkeys, password, authenticator app and recovery codes from an account", (*user.Service).ResetFactors),
		a.userSetPhone(), a.userReleaseNumber(), a.userImport(), a.userExport(), a.userSignOut())
}

// withUser runs a verb on the account that an argument names: a sub, or a number
// that starts with +.
func (a *app) withUser(ctx context.Context, who string, do func(context.Context, *server.Core, user.User) error) error {
	return a.withCore(ctx, func(ctx context.Context, core *server.Core) error {
		var u user.User
		var err error
		if strings.HasPrefix(who, "+") {
			var n sms.Number
			if n, err = sms.FromE164(who); err != nil {
				return err
			}
			u, err = core.Users.FindByNumber(ctx, n)
		} else {
			u, err = core.Users.Get(ctx, who)
		}
		if err != nil {
			return err
		}
		return do(ctx, core, u)
	})
}

// userTable masks numbers: a list is often shown to others. JSON has them in full.
func userTable(list ...user.User) table {
	t := table{head: []string{"sub", "number", "status", "since", "erased on"}}
	for _, u := range list {
		number, erased := u.Phone.String(), ""
		if !u.FormerPhone.IsZero() {
			number = "was " + u.FormerPhone.String()
		}
		if !u.ClosesAt.IsZero() {
			erased = day(u.ClosesAt)
		}
		t.rows = append(t.rows, []string{u.ID, number, u.Status, day(u.CreatedAt), erased})
	}
	return t
}

func (a *app) userGet() *cobra.Command {
	return &cobra.Command{
		Use: "get SUB|+NUMBER", Short: "Show one account", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(_ context.Context, _ *server.Core, u user.User) error {
				return a.print(cmd, u, userTable(u))
			})
		},
	}
}

func (a *app) userList() *cobra.Command {
	var after, former string
	var limit int
	var filter user.Filter
	cmd := &cobra.Command{
		Use: "list", Short: "Show accounts", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if former != "" {
				var err error
				if filter.Former, err = sms.FromE164(former); err != nil {
					return err
				}
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				list, err := core.Users.ListOf(ctx, filter, after, limit)
				if err != nil {
					return err
				}
				return a.print(cmd, list, userTable(list...))
			})
		},
	}
	cmd.Flags().StringVar(&filter.Status, "status", "", "only active, disabled, closing or quarantined ones")
	cmd.Flags().StringVar(&former, "former", "", "only those that had this number until it went to somebody else")
	cmd.Flags().StringVar(&after, "after", "", "go on after this sub")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many")
	return cmd
}

// claimsFlag reads --claims: a JSON object of standard OpenID claims.
func claimsFlag(raw string) (map[string]any, error) {
	if raw == "" {
		return nil, nil
	}
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	var claims map[string]any
	if err := dec.Decode(&claims); err != nil {
		return nil, fmt.Errorf("%w: --claims is not a JSON object: %w", errUsage, err)
	}
	return claims, nil
}

func (a *app) userCreate() *cobra.Command {
	var raw string
	cmd := &cobra.Command{
		Use: "create +NUMBER", Short: "Make an account before its owner signs in", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			claims, err := claimsFlag(raw)
			if err != nil {
				return err
			}
			n, err := sms.FromE164(args[0])
			if err != nil {
				return err
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				u, err := core.Users.Create(ctx, n, claims)
				if err != nil {
					return err
				}
				return a.print(cmd, u, userTable(u))
			})
		},
	}
	cmd.Flags().StringVar(&raw, "claims", "", `standard OpenID claims as JSON, such as '{"name":"…","locale":"zh-CN"}'`)
	return cmd
}

func (a *app) userUpdate() *cobra.Command {
	var raw string
	cmd := &cobra.Command{
		Use: "update SUB|+NUMBER --claims JSON", Short: "Change claims; null removes one", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			claims, err := claimsFlag(raw)
			if err != nil {
				return err
			}
			if len(claims) == 0 {
				return fmt.Errorf("%w: --claims is needed", errUsage)
			}
			return a.withUser(cmd.Context(), args[0], func(ctx context.Context, core *server.Core, u user.User) error {
				u, err := core.Users.Update(ctx, u.ID, claims)
				if err != nil {
					return err
				}
				return a.print(cmd, u, userTable(u))
			})
		},
	}
	cmd.Flags().StringVar(&raw, "claims", "", "standard OpenID claims as JSON; others stay as they are")
	return cmd
}

func (a *app) userVerb(name, short string, do func(*user.Service, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " SUB|+NUMBER", Short: short, Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(ctx context.Context, core *server.Core, u user.User) error {
				return do(core.Users, ctx, u.ID)
			})
		},
	}
}

func (a *app) userSetPhone() *cobra.Command {
	return &cobra.Command{
		Use: "set-phone SUB|+NUMBER +NEW", Short: "Give an account another number", Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := sms.FromE164(args[1])
			if err != nil {
				return err
			}
			return a.withUser(cmd.Context(), args[0], func(ctx context.Context, core *server.Core, u user.User) error {
				return core.Users.SetPhone(ctx, u.ID, n)
			})
		},
	}
}

func (a *app) userReleaseNumber() *cobra.Command {
	return &cobra.Command{
		Use: "release-number +NUMBER", Short: "Say that a number went to another person: its account is quarantined", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := sms.FromE164(args[0])
			if err != nil {
				return err
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				u, err := core.Users.ReleaseNumber(ctx, n)
				if err != nil {
					return err
				}
				return a.print(cmd, u, userTable(u))
			})
		},
	}
}

func (a *app) userSignOut() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "sign-out --all", Short: "End every session and token of everybody, as after restoring a backup", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !all {
				return fmt.Errorf("%w: --all is needed, to say that everybody is meant", errUsage)
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				n, err := core.Users.SignOutAll(ctx)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "signed out of everything: %d accounts\n", n)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everybody; there is no way back")
	return cmd
}

func (a *app) userExport() *cobra.Command {
	return &cobra.Command{
		Use: "export SUB|+NUMBER", Short: "Print everything that is kept about a person, as JSON", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(ctx context.Context, core *server.Core, u user.User) error {
				raw, err := core.Users.Export(ctx, u.ID)
				if err != nil {
					return err
				}
				var out bytes.Buffer
				if err := json.Indent(&out, raw, "", "  "); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), out.String())
				return err
			})
		},
	}
}

func (a *app) session() *cobra.Command {
	list := &cobra.Command{
		Use: "list SUB|+NUMBER", Short: "Show where a person is signed in", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(ctx context.Context, core *server.Core, u user.User) error {
				sessions, err := core.Users.ListSessions(ctx, u.ID)
				if err != nil {
					return err
				}
				t := table{head: []string{"sid", "signed in", "expires"}}
				for _, s := range sessions {
					t.rows = append(t.rows, []string{s.ID, day(s.AuthTime), day(s.ExpiresAt)})
				}
				return a.print(cmd, sessions, t)
			})
		},
	}
	revoke := &cobra.Command{
		Use: "revoke SID", Short: "End one session", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				return core.Users.RevokeSession(ctx, args[0])
			})
		},
	}
	return group("session", "Browser sessions", list, revoke)
}
