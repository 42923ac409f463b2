// Command cairn is a transparency log: a server, and its client.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/client"
)

// A cli is the command line.
type cli struct {
	Globals

	Serve    serveCmd    `cmd:"" help:"Serve a log."`
	Init     initCmd     `cmd:"" help:"Create a log without serving it."`
	Keygen   keygenCmd   `cmd:"" help:"Make a key that signs checkpoints."`
	Witness  witnessCmd  `cmd:"" help:"Cosign the checkpoints of other logs."`
	Upload   uploadCmd   `cmd:"" help:"Put signed files into a log."`
	Get      getCmd      `cmd:"" help:"Show an entry of a log."`
	Search   searchCmd   `cmd:"" help:"Find entries by artifact, key or signer."`
	Verify   verifyCmd   `cmd:"" help:"Prove that a signed file or an entry is in a log."`
	Bundle   bundleCmd   `cmd:"" help:"Write an entry with its proof into a file."`
	Trust    trustCmd    `cmd:"" help:"Write files that say whom to trust, for clients of a log."`
	Loginfo  loginfoCmd  `cmd:"" help:"Show and check the newest tree of a log."`
	Logproof logproofCmd `cmd:"" help:"Prove that a log has only grown."`
	Health   healthCmd   `cmd:"" help:"Ask a server whether it is ready; for container images."`
	Bench    benchCmd    `cmd:"" help:"Measure a log under load."`
	Version  versionCmd  `cmd:"" help:"Show the version of this program."`
	Help     helpCmd     `cmd:"" help:"Show the help of a verb."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run does what the arguments say, the first of which is the program's name,
// and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	c := cli{Globals: Globals{Context: ctx, Stdin: in, Stdout: out, Stderr: errOut}}
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	if name != "rekor-cli" {
		name = "cairn"
	}
	c.RekorCLI = name == "rekor-cli"
	var config rekorConfig
	parser, err := kong.New(&c,
		kong.Name(name),
		kong.Description("A transparency log: a server, and the client of this and other Rekor v1 logs.\n\n"+exitHelp),
		kong.Writers(out, errOut),
		kong.ExplicitGroups([]kong.Group{
			{Key: "client", Title: "Flags of the verbs that speak to a log:"},
			{Key: "bundle", Title: "Flags to verify a file that has the proof in it:"},
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Help(help),
		kong.Resolvers(&config),
		kong.Vars{"maxBody": strconv.Itoa(api.DefaultMaxBody)},
	)
	if err != nil {
		fmt.Fprintln(errOut, "cairn:", err)
		return exitUsage
	}
	args = args[1:]
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case len(args) == 1 && args[0] == "--version":
		args = []string{"version"}
	}
	k, err := parser.Parse(args)
	var bad *kong.ParseError
	if errors.As(err, &bad) {
		help := name + " --help"
		if n := bad.Context.Selected(); n != nil {
			help = name + " " + n.Name + " --help"
		}
		err = usage("%w; see %s", err, help)
	}
	if err == nil {
		if config.path != "" && c.Format == "default" {
			fmt.Fprintf(errOut, "Using config file: %s\n", client.Printable(config.path, ""))
		}
		err = k.Run(&c.Globals)
	}
	return c.report(err)
}

// A helpCmd is "help verb", the same as "verb --help".
type helpCmd struct {
	Verb string `arg:"" optional:"" help:"Verb, such as upload."`
}

func (c *helpCmd) Run(g *Globals, k *kong.Context) error {
	var args []string
	if c.Verb != "" {
		args = []string{c.Verb}
	}
	trace, err := kong.Trace(k.Kong, args)
	if err == nil {
		err = trace.Error
	}
	if err != nil {
		return usage("%w; see cairn --help", err)
	}
	return trace.PrintUsage(false)
}

// help prints the help of a verb without the client's flags where it has no
// use for them.
func help(o kong.HelpOptions, ctx *kong.Context) error {
	if n := ctx.Selected(); n != nil && slices.Contains([]string{"serve", "init", "keygen", "witness"}, n.Name) {
		for _, f := range ctx.Model.Flags {
			f.Hidden = f.Hidden || f.Group != nil && f.Group.Key == "client"
		}
	}
	return kong.DefaultHelpPrinter(o, ctx)
}
