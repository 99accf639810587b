package mail_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// corpus returns the messages of the corpora, by path.
func corpus(tb testing.TB) map[string][]byte {
	root := os.Getenv("DECODER_CORPORA")
	if root == "" {
		tb.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	all := map[string][]byte{}
	err := filepath.WalkDir(filepath.Join(root, "email"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".json", ".yml", ".xml", ".gz", ".zip", ".golden", ".md", ".sh":
			return nil
		}
		b, err := os.ReadFile(path)
		all[path] = b
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestEveryMessageOfTheCorporaGivesADocument(t *testing.T) {
	n, noFrom := 0, 0
	for path, raw := range corpus(t) {
		start := time.Now()
		doc := mail.Decode(raw, mail.Delivery{}, mail.Options{})
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s took %v", path, took)
		}
		if _, err := json.Marshal(doc); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if doc.Mail.From.Address == "" {
			noFrom++
		}
		n++
	}
	if n < 600 {
		t.Fatalf("only %d messages", n)
	}
	t.Logf("%d messages, %d without a sender's address", n, noFrom)
}

func BenchmarkDecode(b *testing.B) {
	var all [][]byte
	size := 0
	for _, raw := range corpus(b) {
		all = append(all, raw)
		size += len(raw)
	}
	b.SetBytes(int64(size / len(all)))
	for i := 0; b.Loop(); i++ {
		if _, err := json.Marshal(mail.Decode(all[i%len(all)], mail.Delivery{}, mail.Options{})); err != nil {
			b.Fatal(err)
		}
	}
}
