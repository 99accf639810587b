package hygiene

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/decodersring/decoder/internal/decode/mail"
)

func BenchmarkCheck(b *testing.B) {
	root := os.Getenv("DECODER_CORPORA")
	if root == "" {
		b.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	var docs []*mail.Document
	for _, dir := range []string{"phishing_pot", "spamassassin-corpus"} {
		err := filepath.WalkDir(filepath.Join(root, "email", dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(p)
			docs = append(docs, mail.Decode(raw, mail.Delivery{}, mail.Options{}))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	e := New(Config{}, shippedLists(b), nil, nil)
	for i := 0; b.Loop(); i++ {
		e.Check(b.Context(), docs[i%len(docs)])
	}
}
