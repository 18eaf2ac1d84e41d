package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// table is what a person reads; json and yaml print the value behind it.
type table struct {
	head []string
	rows [][]string
}

// print shows a value: one table or several for people.
func (a *app) print(cmd *cobra.Command, value any, tables ...table) error {
	out := cmd.OutOrStdout()
	switch a.output {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	case "yaml":
		return printYAML(out, value)
	}
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(out)
		}
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		if len(t.head) > 0 {
			fmt.Fprintln(w, strings.ToUpper(strings.Join(t.head, "\t")))
		}
		for _, row := range t.rows {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// confirm asks before something that cannot be taken back. Where nobody answers
// it is a mistake of the command line: --yes would have said so.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	case "":
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr())
			return fmt.Errorf("%w: nobody answered, --yes goes ahead without asking", errUsage)
		}
	}
	return errors.New("nothing was done")
}

// printYAML goes through JSON, so that both print the same names.
func printYAML(out io.Writer, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return err
	}
	enc := yaml.NewEncoder(out)
	enc.SetIndent(2)
	if err := enc.Encode(plain); err != nil {
		return err
	}
	return enc.Close()
}
