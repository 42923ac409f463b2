package compat

import (
	"fmt"
	"io"
	stdlog "log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"
)

// registry var starts a container registry with an image of random bytes, and
// puts the image's name, by digest, into a variable.
func cmdRegistry(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "registry var")
	s := httptest.NewServer(registry.New(registry.Logger(stdlog.New(io.Discard, "", 0))))
	ts.Defer(s.Close)
	image, err := random.Image(1024, 1)
	ts.Check(err)
	repository := strings.TrimPrefix(s.URL, "http://") + "/compat/hello"
	tag, err := name.NewTag(repository + ":latest")
	ts.Check(err)
	ts.Check(remote.Write(tag, image))
	digest, err := image.Digest()
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprintf("%s@%s", repository, digest))
}
