package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

func (a *app) smsFake() *cobra.Command {
	var (
		listen string
		remote bool
		fail   []string
		office fake.OfficeConfig
	)
	cmd := &cobra.Command{
		Use: "fake", Short: "Stand in for Aliyun, Tencent Cloud, NetEase Yunxin and Yuntongxun, to try them without an account",
		Long: `Answer calls to Aliyun, Tencent Cloud, NetEase Yunxin and Yuntongxun the way they do:
signatures are verified, their codes and limits for one number are theirs, and what they
would have sent is printed here and shown at /, number and code in clear. Nothing leaves this machine.

The settings that send through it are printed first. --fail shows how a route fails over.`,
		Example: `  dialtone sms fake
  dialtone sms fake --fail aliyun=isv.OUT_OF_SERVICE --fail tencent=hang`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			office.Remote = remote
			f := fake.NewOffice(office)
			for _, one := range fail {
				vendor, what, _ := strings.Cut(one, "=")
				if err := f.Fail(vendor, what); err != nil {
					return fmt.Errorf("%w: --fail %w", errUsage, err)
				}
			}
			l, err := listenFake(cmd.Context(), listen, remote)
			if err != nil {
				return err
			}
			return serveFake(cmd.Context(), cmd.OutOrStdout(), l, f)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9199", "address to listen on")
	cmd.Flags().BoolVar(&remote, "allow-remote", false, "listen on addresses that others can reach, and show them every code")
	cmd.Flags().BoolVar(&office.Unlimited, "unlimited", false, "without the vendors' limits for one number, such as Tencent's two a day")
	cmd.Flags().StringArrayVar(&fail, "fail", nil, "VENDOR=CODE refuses with a code of the vendor's, VENDOR=FAULT goes wrong: http500, http502, hang, reset, accept-then-hang, slow, truncated, cut, huge, gzip")
	return cmd
}

// listenFake opens addresses of this machine alone unless it is told otherwise.
func listenFake(ctx context.Context, address string, remote bool) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if at, ok := l.Addr().(*net.TCPAddr); !remote && (!ok || !at.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%w: %s can be reached by others, who would read the codes; --allow-remote does it anyway", errUsage, address), l.Close())
	}
	return l, nil
}

// serveFake prints the settings, then every message, until ctx ends.
func serveFake(ctx context.Context, out io.Writer, l net.Listener, f *fake.Office) error {
	address := "http://" + l.Addr().String()
	fmt.Fprintf(out, "# Dialtone with these settings sends through %s. The inbox is at %s/\n%s\n", address, address, f.Settings(address))
	srv := &http.Server{Handler: f, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	watch, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); printInbox(watch, out, f.Inbox) }()
	defer func() { stop(); <-done }()
	select {
	case <-ctx.Done():
		return srv.Close() // calls that hang as they were told to are not waited for
	case err := <-failed:
		return err
	}
}

func printInbox(ctx context.Context, out io.Writer, inbox *fake.Inbox) {
	for printed := 0; ; {
		all, err := inbox.Wait(ctx, printed+1)
		for _, m := range all[min(printed, len(all)):] {
			fmt.Fprintf(out, "%s  %-10s  %s  code %s  %s\n", m.At.Format(time.TimeOnly), m.Provider, m.To, m.Code(), m.Text)
		}
		printed = len(all)
		if err != nil {
			return
		}
	}
}
