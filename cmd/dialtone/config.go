package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/config"
)

func (a *app) configuration() *cobra.Command {
	check := &cobra.Command{
		Use: "check", Short: "Find mistakes in the configuration, with what was probably meant", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load("")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the configuration is valid; the issuer is "+c.Issuer)
			return err
		},
	}
	show := &cobra.Command{
		Use: "print", Short: "Show the settings in force and where they come from, without secrets", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load("")
			if err != nil {
				return err
			}
			return c.Print(cmd.OutOrStdout())
		},
	}
	env := &cobra.Command{
		Use: "env", Short: "List every setting with its variable, type, default and meaning", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := config.Env()
			t := table{head: []string{"variable", "type", "default", "meaning"}}
			for _, v := range list {
				t.rows = append(t.rows, []string{v.Name, v.Type, v.Default, v.Meaning})
			}
			return a.print(cmd, list, t)
		},
	}
	example := &cobra.Command{
		Use: "example", Short: "Print a commented configuration to begin with", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Example())
			return err
		},
	}
	return group("config", "The configuration: a YAML file, over it the environment, over it flags", check, show, env, example)
}
