package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/server"
)

// app is what the verbs share: the global flags and how they become a
// configuration or an open core.
type app struct {
	configPath string
	dataDir    string
	dev        bool
	output     string
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:           "dialtone",
		Short:         "An OpenID Connect provider whose account is a mobile number",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", os.Getenv("DIALTONE_CONFIG"), "configuration file (YAML)")
	flags.StringVar(&a.dataDir, "data-dir", "", "directory for everything that is kept on disk (default ./data)")
	flags.BoolVar(&a.dev, "dev", false, "developer's mode: http on loopback, SMS on the terminal, secrets made and kept in the data directory")
	flags.StringVarP(&a.output, "output", "o", "table", "table, json or yaml")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch a.output {
		case "table", "json", "yaml":
			return nil
		}
		return fmt.Errorf("%w: --output is table, json or yaml", errUsage)
	}
	root.AddCommand(a.serve(), a.migrate(), a.configuration(), a.client(), a.user(), a.session(), a.key(), a.sms(), a.doctor(), a.versionVerb())
	return root
}

// load resolves the configuration: defaults, file, environment, flags.
func (a *app) load(listen string) (config.Config, error) {
	return config.Load(config.Source{
		Path: a.configPath, Environ: os.Environ(), Dev: a.dev, DataDir: a.dataDir, Listen: listen,
	})
}

// withCore runs a verb on the database, beside a server that may be running.
func (a *app) withCore(ctx context.Context, do func(context.Context, *server.Core) error) error {
	c, err := a.load("")
	if err != nil {
		return err
	}
	core, err := server.OpenCore(ctx, c, slog.Default())
	if err != nil {
		return err
	}
	defer core.Close() //nolint:errcheck // the verb's own error matters more
	return do(ctx, core)
}

// exactly is cobra.ExactArgs with our exit code.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(cmd, args); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return nil
	}
}

// group is a verb that only has verbs below it.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return fmt.Errorf("%w: dialtone %s needs a verb, see dialtone %s --help", errUsage, cmd.Name(), cmd.Name())
	}}
	cmd.AddCommand(verbs...)
	return cmd
}
