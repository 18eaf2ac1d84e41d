package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/server"
)

func (a *app) client() *cobra.Command {
	return group("client", "Applications that may ask people to sign in",
		a.clientCreate(), a.clientList(), a.clientGet(), a.clientUpdate(), a.clientDelete(), a.clientRotateSecret())
}

// clientFile reads metadata with the member names of RFC 7591 from a file or, as
// "-", from standard input. Unknown members are refused: a typo would otherwise
// become a default.
func clientFile(path string, in io.Reader, into *client.Client) error {
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the operator names it
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	dec := json.NewDecoder(in)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("read the client's metadata: %w", err)
	}
	return nil
}

func (a *app) clientCreate() *cobra.Command {
	var (
		c    client.Client
		file string
		kind string
	)
	cmd := &cobra.Command{
		Use: "create", Short: "Register a client; its secret is shown once",
		Example: `  dialtone client create --type web --name "Web shop" --redirect-uri https://shop.example.com/callback
  dialtone client create --type native --name "Phone app" --redirect-uri com.example.app:/callback
  dialtone client create --type machine --name "Nightly job" --scope "orders:read"
  dialtone client create --file client.json`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				if err := clientFile(file, cmd.InOrStdin(), &c); err != nil {
					return err
				}
			} else if err := shape(&c, kind); err != nil {
				return err
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				if c.ID == "" {
					c.ID = db.NewID()
				}
				secret, err := core.Clients.Create(ctx, c, "", client.SourceOperator)
				if err != nil {
					return err
				}
				return a.printSecret(cmd, c.ID, secret)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "file", "", `metadata as JSON with the names of RFC 7591 ("-" reads standard input)`)
	f.StringVar(&kind, "type", "web", "web (confidential), spa or native (public, PKCE), machine (client credentials)")
	f.StringVar(&c.ID, "id", "", "client_id (default: a random one)")
	f.StringVar(&c.Name, "name", "", "name that people see")
	f.StringArrayVar(&c.RedirectURIs, "redirect-uri", nil, "where answers go, exactly; may be repeated")
	f.StringArrayVar(&c.PostLogoutRedirectURIs, "post-logout-redirect-uri", nil, "where people go after signing out; may be repeated")
	f.StringVar(&c.Scope, "scope", "", "scopes it may ask for, separated by spaces")
	f.BoolVar(&c.FirstParty, "first-party", false, "one of your own: no consent page")
	return cmd
}

// shape turns a kind of application into the metadata that suits it.
func shape(c *client.Client, kind string) error {
	switch kind {
	case "web":
		c.TokenEndpointAuthMethod = client.AuthClientSecretBasic
	case "spa":
		c.TokenEndpointAuthMethod = client.AuthNone
	case "native":
		c.TokenEndpointAuthMethod, c.ApplicationType = client.AuthNone, "native"
	case "machine":
		c.TokenEndpointAuthMethod = client.AuthClientSecretBasic
		c.GrantTypes = []string{client.GrantClientCredentials}
	default:
		return fmt.Errorf("%w: --type is web, spa, native or machine", errUsage)
	}
	return nil
}

func (a *app) printSecret(cmd *cobra.Command, id, secret string) error {
	v := map[string]string{"client_id": id}
	t := table{rows: [][]string{{"client_id", id}}}
	if secret != "" {
		v["client_secret"] = secret
		t.rows = append(t.rows, []string{"client_secret", secret})
		fmt.Fprintln(cmd.ErrOrStderr(), "The secret is shown this once.")
	}
	return a.print(cmd, v, t)
}

func clientTable(list ...client.Client) table {
	t := table{head: []string{"client_id", "name", "authentication", "grants", "redirects"}}
	for _, c := range list {
		t.rows = append(t.rows, []string{c.ID, c.Name, c.TokenEndpointAuthMethod, strings.Join(c.GrantTypes, " "), strings.Join(c.RedirectURIs, " ")})
	}
	return t
}

func (a *app) clientList() *cobra.Command {
	var after string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "Show clients", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				list, err := core.Clients.List(ctx, after, limit)
				if err != nil {
					return err
				}
				return a.print(cmd, list, clientTable(list...))
			})
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "go on after this client_id")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many")
	return cmd
}

func (a *app) clientGet() *cobra.Command {
	return &cobra.Command{
		Use: "get CLIENT_ID", Short: "Show one client", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				c, err := core.Clients.Read(ctx, args[0])
				if err != nil {
					return err
				}
				return a.print(cmd, c, clientTable(c))
			})
		},
	}
}

func (a *app) clientUpdate() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "update CLIENT_ID --file FILE", Short: "Change members of a client's metadata", Args: exactly(1),
		Long: "Change the members that the file names and keep the others. The secret stays; see rotate-secret.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return fmt.Errorf("%w: --file is needed", errUsage)
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				c, err := core.Clients.Read(ctx, args[0])
				if err != nil {
					return err
				}
				if err := clientFile(file, cmd.InOrStdin(), &c); err != nil {
					return err
				}
				if c.ID != args[0] {
					return errors.New("a client_id cannot be changed")
				}
				if err := core.Clients.Update(ctx, c); err != nil {
					return err
				}
				return a.print(cmd, c, clientTable(c))
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", `members to change, as JSON ("-" reads standard input)`)
	return cmd
}

func (a *app) clientDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete CLIENT_ID", Short: "Delete a client, its grants and what people allowed it", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				return core.Clients.Delete(ctx, args[0])
			})
		},
	}
}

func (a *app) clientRotateSecret() *cobra.Command {
	return &cobra.Command{
		Use: "rotate-secret CLIENT_ID", Short: "Give a client a new secret; the old one ends at once", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				secret, err := core.Clients.RotateSecret(ctx, args[0])
				if err != nil {
					return err
				}
				return a.printSecret(cmd, args[0], secret)
			})
		},
	}
}
