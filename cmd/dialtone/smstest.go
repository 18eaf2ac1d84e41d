package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/server"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// trialReport is what `sms test` prints.
type trialReport struct {
	Number string `json:"number"` // masked
	sms.TrialResult
	Attempts []attemptReport `json:"attempts"`
	Took     float64         `json:"took_seconds"`
}

type attemptReport struct {
	sms.Attempt
	Means string  `json:"means,omitempty"` // what the code tells an operator
	Took  float64 `json:"took_seconds"`
}

func (a *app) smsTest() *cobra.Command {
	var (
		name, locale, purpose string
		yes                   bool
	)
	cmd := &cobra.Command{
		Use: "test NUMBER", Short: "Send one real text and say what became of it",
		Long: `Send one real text through the route of the number's region, or through one
provider, and say what became of it. It costs what a text costs.

The code in it is random and signs nobody in. The message counts to the number's
limits like a stranger's, and the trial is in the audit log. Of a route the next
provider is asked only where one certainly did not send.

Exit codes: 0 a provider took the message, 1 it was refused, 6 nobody knows.`,
		Example: `  dialtone sms test +8613800138000
  dialtone sms test +8613800138000 --provider tencent-main --yes -o json`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load("")
			if err != nil {
				return err
			}
			trial, err := newTrial(cmd, c, args[0], name)
			if err != nil {
				return err
			}
			trial.Purpose, trial.Locale = sms.Purpose(purpose), locale
			if !trial.Purpose.Valid() {
				return fmt.Errorf("%w: --purpose is login, change_phone, step_up or delete", errUsage)
			}
			if err := confirm(cmd, yes, fmt.Sprintf("One text to %v through %s. It may cost money. Send it?", trial.Number, names(trial.Providers))); err != nil {
				return err
			}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				return a.runTrial(ctx, cmd, c, core, trial)
			})
		},
	}
	cmd.Flags().StringVar(&name, "provider", "", "ask this provider alone, by its name in the configuration")
	cmd.Flags().StringVar(&locale, "locale", "zh-CN", "language of the message, where the provider has a choice")
	cmd.Flags().StringVar(&purpose, "purpose", string(sms.Login), "whose template to use: login, change_phone, step_up or delete")
	cmd.Flags().BoolVar(&yes, "yes", false, "send without asking")
	return cmd
}

// newTrial finds the number and the providers; the console's messages go beside the report.
func newTrial(cmd *cobra.Command, c config.Config, number, name string) (sms.Trial, error) {
	n, err := sms.ParseNumber(number, c.SMS.Regions)
	if err != nil {
		return sms.Trial{}, err
	}
	providers, err := server.SMSProviders(c, n.Region(), name, cmd.ErrOrStderr())
	return sms.Trial{Number: n, Providers: providers}, err
}

func (a *app) runTrial(ctx context.Context, cmd *cobra.Command, c config.Config, core *server.Core, trial sms.Trial) error {
	limits, err := server.SMSLimits(c)
	if err != nil {
		return err
	}
	result, err := trial.Send(ctx, limits, core.DB, core.Vault, core.Audit)
	if len(result.Attempts) == 0 {
		return err
	}
	report := trialReport{Number: trial.Number.String(), TrialResult: result}
	t := table{head: []string{"provider", "outcome", "class", "code", "took"}}
	details := table{rows: [][]string{{"number", report.Number}, {"message", result.MessageID}, {"provider's id", result.Ref}}}
	for i, at := range result.Attempts {
		outcome := "refused, next asked"
		if i == len(result.Attempts)-1 {
			outcome = result.Outcome
		}
		means := sms.Meaning(c.SMS.Providers[at.Provider].Type, at.Code)
		report.Attempts = append(report.Attempts, attemptReport{at, means, at.Took.Seconds()})
		report.Took += at.Took.Seconds()
		t.rows = append(t.rows, []string{at.Provider, outcome, string(at.Class), at.Code, at.Took.Round(time.Millisecond).String()})
		if means != "" {
			details.rows = append(details.rows, []string{at.Provider, means})
		}
	}
	if printed := a.print(cmd, report, t, details); printed != nil || err != nil {
		return errors.Join(err, printed)
	}
	switch result.Outcome {
	case "accepted":
		return nil
	case "unknown":
		return errUnknown
	}
	return errors.New("no provider took the message")
}

func names(providers []sms.Provider) string {
	list := make([]string, len(providers))
	for i, p := range providers {
		list[i] = p.Name()
	}
	return strings.Join(list, ", then ")
}
