package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/cairnlog/cairn/api"
)

type versionCmd struct{}

// build returns what the Go toolchain wrote into the binary.
func build() api.Build {
	b := api.Build{Version: "devel", Revision: "unknown", Date: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified {
		b.Revision += "+dirty"
	}
	return b
}

func (c *versionCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	b := build()
	v := struct {
		GitVersion string `json:"gitVersion"`
		GitCommit  string `json:"gitCommit"`
		BuildDate  string `json:"buildDate"`
		GoVersion  string `json:"goVersion"`
		Compiler   string `json:"compiler"`
		Platform   string `json:"platform"`
	}{b.Version, b.Revision, b.Date, runtime.Version(), runtime.Compiler, runtime.GOOS + "/" + runtime.GOARCH}
	if asJSON {
		return g.printJSON(v)
	}
	_, err = fmt.Fprintf(g.Stdout, "cairn %s\n\nGitVersion:    %s\nGitCommit:     %s\nBuildDate:     %s\nGoVersion:     %s\nCompiler:      %s\nPlatform:      %s\n",
		v.GitVersion, v.GitVersion, v.GitCommit, v.BuildDate, v.GoVersion, v.Compiler, v.Platform)
	return err
}
