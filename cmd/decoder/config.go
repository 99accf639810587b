package main

import (
	"fmt"

	"github.com/decodersring/decoder/internal/app"
	"github.com/decodersring/decoder/internal/config"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say what is wrong with the configuration, with line and column."`
	Print configPrintCmd `cmd:"" help:"Print the configuration in force, secrets redacted."`
}

type configCheckCmd struct {
	File string `arg:"" optional:"" help:"The file; that of --config or the default place when absent."`
}

func (c *configCheckCmd) Run(g *globals, io streams) error {
	_, file, err := app.LoadConfig(orElse(c.File, g.ConfigFile), g.dir())
	if err != nil {
		return wrongConfig(err)
	}
	if file == "" {
		fmt.Fprintln(io.out, "there is no configuration file, and none is needed: the defaults hold")
		return nil
	}
	fmt.Fprintf(io.out, "%s is right\n", file)
	return nil
}

type configPrintCmd struct{}

func (c *configPrintCmd) Run(g *globals, io streams) error {
	conf, err := g.config()
	if err != nil {
		return err
	}
	text, err := config.Print(conf)
	if err != nil {
		return err
	}
	_, err = io.out.Write(text)
	return err
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
