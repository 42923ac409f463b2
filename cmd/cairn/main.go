// Command cairn is a transparency log: a server, and its client.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/cairnlog/cairn/api"
)

// A cli is the command line.
type cli struct {
	Globals

	Serve    serveCmd    `cmd:"" help:"Serve a log."`
	Init     initCmd     `cmd:"" help:"Create a log without serving it."`
	Upload   uploadCmd   `cmd:"" help:"Put signed files into a log."`
	Get      getCmd      `cmd:"" help:"Show an entry of a log."`
	Search   searchCmd   `cmd:"" help:"Find entries by artifact, key or signer."`
	Verify   verifyCmd   `cmd:"" help:"Prove that a signed file or an entry is in a log."`
	Loginfo  loginfoCmd  `cmd:"" help:"Show and check the newest tree of a log."`
	Logproof logproofCmd `cmd:"" help:"Prove that a log has only grown."`
	Version  versionCmd  `cmd:"" help:"Show the version of this program."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	c := cli{Globals: Globals{Context: ctx, Stdin: in, Stdout: out, Stderr: errOut}}
	parser, err := kong.New(&c,
		kong.Name("cairn"),
		kong.Description("A transparency log: a server, and the client of this and other Rekor v1 logs.\n\n"+exitHelp),
		kong.Writers(out, errOut),
		kong.ExplicitGroups([]kong.Group{{Key: "client", Title: "Flags of the verbs that speak to a log:"}}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"maxBody": strconv.Itoa(api.DefaultMaxBody)},
	)
	if err != nil {
		fmt.Fprintln(errOut, "cairn:", err)
		return exitUsage
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	var bad *kong.ParseError
	if errors.As(err, &bad) {
		help := "cairn --help"
		if n := bad.Context.Selected(); n != nil {
			help = "cairn " + n.Name + " --help"
		}
		err = usage("%w; see %s", err, help)
	}
	if err == nil {
		err = k.Run(&c.Globals)
	}
	return c.report(err)
}

// Run serves the log.
func (c *serveCmd) Run(g *Globals) error { return c.run(g.Context, g.Stdout, g.Stderr) }

// Run creates the log.
func (c *initCmd) Run(g *Globals) error { return c.run(g.Context, g.Stdout) }
