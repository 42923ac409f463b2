package memory_test

import (
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/memory"
	"github.com/cairnlog/cairn/storage/storagetest"
)

func BenchmarkStore(b *testing.B) {
	storagetest.Bench(b, func(testing.TB) storagetest.Medium {
		s := memory.New()
		return func(testing.TB) log.Store { return s }
	})
}
