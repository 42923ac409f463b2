package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	"github.com/cairnlog/cairn/entry"
)

func TestDescription(t *testing.T) {
	t.Parallel()
	c, err := apitest.NewChecker()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Operations(), api.Operations()); diff != "" {
		t.Errorf("operations of openapi.yaml (-) and of the router (+):\n%s", diff)
	}
	have := make(map[string]bool)
	for _, name := range c.Schemas() {
		have[name] = true
	}
	for _, k := range entry.Kinds() {
		if !have[k.Schema] {
			t.Errorf("openapi.yaml has no schema %s for %s %s", k.Schema, k.Kind, k.Version)
		}
	}
}
