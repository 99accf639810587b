package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/decodersring/decoder/internal/api"
)

type passwordCmd struct {
	User     string `arg:"" optional:"" default:"admin" help:"The user."`
	Generate bool   `help:"Make one up and print it, instead of reading it from standard input."`
}

func (c *passwordCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	change := api.PasswordChange{User: c.User}
	if !c.Generate {
		fmt.Fprint(io.err, "new password, 12 characters or more: ")
		line, err := bufio.NewReader(io.in).ReadString('\n')
		if change.New = strings.TrimRight(line, "\r\n"); change.New == "" {
			return usagef("reading the password from standard input: %w", orEOF(err))
		}
	}
	done, err := client.SetPassword(ctx, change)
	if err != nil {
		return asUsage(err)
	}
	if done.Password != "" {
		fmt.Fprintln(io.out, done.Password)
	}
	return nil
}

func orEOF(err error) error {
	if err == nil {
		return errors.New("it is empty")
	}
	return err
}
