package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/server"
	"github.com/dialtone-id/dialtone/internal/user"
)

func (a *app) userImport() *cobra.Command {
	var format, report string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make accounts of another system's users, from CSV or JSON",
		Long: `Make accounts of another system's users, from CSV with a line of column names, from
JSON lines, or from a JSON array of objects; - reads standard input. In CSV a field
with a comma, such as an argon2 hash, stands in double quotes. The columns are

  phone           with a plus sign, or as it is dialled in the first region; needed
  username        3 to 32 letters and digits, a letter first
  email, email_verified
  password_hash   Django's pbkdf2_sha256$… argon2$argon2id$… bcrypt$… bcrypt_sha256$…,
                  bcrypt's $2a$ $2b$ $2y$, or $argon2id$…; it is made anew when its
                  owner signs in first. What begins with ! is no password
  created_at      2024-05-31T08:30:00Z, 2024-05-31 08:30:00, or seconds since 1970
  name, nickname, given_name, locale, picture and the other claims of OpenID Connect

A number that has an account is left alone, so an import that was broken off goes on
when it is started again. Refused rows are told with their line (of a JSON array, their element) and masked
number, and make the exit code 1; all others are imported.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, size, err := openImport(cmd, args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			rows, err := importRows(in, args[0], format)
			if err != nil {
				return err
			}
			refusals := cmd.ErrOrStderr()
			if report != "" {
				f, err := os.OpenFile(report, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
				if err != nil {
					return fmt.Errorf("open the report: %w", err)
				}
				defer f.Close()
				refusals = f
			}
			i := importing{rows: rows, report: refusals, bar: newBar(cmd.ErrOrStderr(), size)}
			return a.withCore(cmd.Context(), func(ctx context.Context, core *server.Core) error {
				err := i.run(ctx, core.Users)
				i.bar.end()
				return errors.Join(a.print(cmd, i.count, i.count.table()), err)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "csv or json (default: by the name of the file)")
	cmd.Flags().StringVar(&report, "report", "", "write refused rows to this file instead of standard error")
	return cmd
}

func openImport(cmd *cobra.Command, name string) (in io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("open the file: %w", err)
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

func importRows(in io.Reader, name, format string) (*user.Rows, error) {
	if format == "" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), ".")
	}
	switch format {
	case "csv":
		return user.CSVRows(in)
	case "json", "jsonl", "ndjson":
		return user.JSONRows(in), nil
	}
	return nil, fmt.Errorf("%w: say --format csv or --format json", errUsage)
}

// importing is one run of user import.
type importing struct {
	rows   *user.Rows
	report io.Writer
	bar    *bar
	count  importCount
}

type importCount struct {
	Created int `json:"created"`
	Present int `json:"present"`
	Refused int `json:"refused"`
}

func (c importCount) table() table {
	return table{head: []string{"created", "present", "refused"}, rows: [][]string{{
		strconv.Itoa(c.Created), strconv.Itoa(c.Present), strconv.Itoa(c.Refused),
	}}}
}

func (i *importing) run(ctx context.Context, users *user.Service) error {
	batch := make([]user.Row, 0, user.ImportBatch)
	for end := false; !end; {
		row, err := i.rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			end = true
		case err != nil:
			return err
		default:
			batch = append(batch, row)
		}
		if len(batch) == cap(batch) || end && len(batch) > 0 {
			outcomes, err := users.Import(ctx, batch)
			if noted := i.note(outcomes); err == nil {
				err = noted
			} else if len(outcomes) < len(batch) {
				err = fmt.Errorf("from %s %d on nothing was imported, start again to go on: %w", i.rows.Unit(), batch[len(outcomes)].Line, err)
			}
			if err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if i.count.Refused > 0 {
		return fmt.Errorf("refused rows: %d", i.count.Refused)
	}
	return nil
}

// note counts and reports. The report has a line for each refusal: line (or
// element), masked number, reason, with tabs between.
func (i *importing) note(outcomes []user.Outcome) error {
	for _, o := range outcomes {
		switch o.Result {
		case user.RowCreated:
			i.count.Created++
		case user.RowPresent:
			i.count.Present++
		default:
			i.count.Refused++
			i.bar.clear()
			if _, err := fmt.Fprintf(i.report, "%s %d\t%s\t%s\n", i.rows.Unit(), o.Line, o.Number, o.Reason); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
		}
	}
	i.bar.show(i.rows.Bytes(), i.count.Created+i.count.Present+i.count.Refused)
	return nil
}

// bar is a line on a terminal that says how far it is; nothing elsewhere.
type bar struct {
	out   *os.File // nil: not a terminal
	size  int64    // bytes; 0 if unknown
	begun time.Time
	shown time.Time
}

const barWidth = 30

func newBar(w io.Writer, size int64) *bar {
	b := &bar{size: size, begun: time.Now()}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			b.out = f
		}
	}
	return b
}

func (b *bar) show(read int64, rows int) {
	if b.out == nil || time.Since(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown = time.Now()
	fmt.Fprint(b.out, "\r"+barLine(read, b.size, rows, b.shown.Sub(b.begun))+"\x1b[K")
}

// barLine is the text of the bar.
func barLine(read, size int64, rows int, took time.Duration) string {
	speed := fmt.Sprintf("%d rows, %.0f/s", rows, float64(rows)/max(took.Seconds(), 0.001))
	if size <= 0 {
		return speed
	}
	done := float64(min(read, size)) / float64(size)
	full := int(done * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*done, speed)
}

func (b *bar) clear() {
	if b.out != nil && !b.shown.IsZero() {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

func (b *bar) end() { b.clear() }
