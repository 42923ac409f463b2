package postgres

import (
	"strings"
	"testing"
)

func TestCheckSettings(t *testing.T) {
	t.Parallel()
	good := map[string]string{"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
	with := func(name, value string) map[string]string {
		m := map[string]string{}
		for k, v := range good {
			m[k] = v
		}
		m[name] = value
		return m
	}
	for name, c := range map[string]struct {
		server map[string]string
		want   string // in the error, "" for none
	}{
		"durable":                         {good, ""},
		"standbys have it too":            {with("synchronous_commit", "remote_apply"), ""},
		"a server without these":          {map[string]string{}, ""},
		"fsync off":                       {with("fsync", "off"), "fsync = off"},
		"torn pages":                      {with("full_page_writes", "off"), "full_page_writes = off"},
		"answers before it writes":        {with("synchronous_commit", "off"), "synchronous_commit is off"},
		"standbys may not have it":        {with("synchronous_commit", "local"), "synchronous_commit is local"},
		"standbys may lose it in a crash": {with("synchronous_commit", "remote_write"), "synchronous_commit is remote_write"},
	} {
		err := check(c.server)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want one with %q", name, err, c.want)
		}
	}
}
