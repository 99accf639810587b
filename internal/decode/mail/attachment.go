package mail

import (
	"archive/zip"
	"bytes"
	"crypto/md5"  //nolint:gosec // a name that feeds of indicators use, no protection
	"crypto/sha1" //nolint:gosec // as md5
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
)

const maxNames = 50

// attachment hashes a decoded file and looks at its first bytes and, of a zip
// archive, at its directory. Nothing is inflated.
func (w *walker) attachment(c content, data []byte) {
	// Messages within messages are hashed once for each level.
	if w.hash -= int64(len(data)); w.hash < 0 {
		w.report(DefectHashed)
		return
	}
	m, s1, s2 := md5.Sum(data), sha1.Sum(data), sha256.Sum256(data) //nolint:gosec // as imported
	f := File{
		Name: c.name, MIMEType: strings.ToValidUTF8(Truncate(c.media, 127), ""), Size: int64(len(data)),
		Extension: strings.ToLower(strings.TrimPrefix(path.Ext(c.name), ".")),
		Hash:      Hash{MD5: hex.EncodeToString(m[:]), SHA1: hex.EncodeToString(s1[:]), SHA256: hex.EncodeToString(s2[:])},
		Detected:  detect(data),
		Inline:    !c.attached,
	}
	switch f.Detected {
	case "application/zip":
		w.archive(&f, data)
	case "application/x-ole-storage":
		// Macro projects of the binary Office formats are a storage of this
		// name, in UTF-16.
		f.Macro = bytes.Contains(data, []byte("V\x00B\x00A\x00"))
	}
	w.doc.Email.Attachments = append(w.doc.Email.Attachments, Attachment{File: f})
}

// detect names what the first bytes say; "" when they say nothing.
func detect(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case bytes.HasPrefix(b, []byte("MZ")):
		return "application/x-msdownload"
	case bytes.HasPrefix(b, []byte("\x7fELF")):
		return "application/x-elf"
	case bytes.HasPrefix(b, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
		return "application/x-ole-storage"
	case bytes.HasPrefix(b, []byte("7z\xbc\xaf\x27\x1c")):
		return "application/x-7z-compressed"
	case bytes.HasPrefix(b, []byte("Rar!\x1a\x07")):
		return "application/vnd.rar"
	case bytes.HasPrefix(b, []byte("L\x00\x00\x00\x01\x14\x02\x00")):
		return "application/x-ms-shortcut"
	case bytes.HasPrefix(b, []byte("{\\rtf")):
		return "application/rtf"
	case len(b) > 0x8006 && bytes.Equal(b[0x8001:0x8006], []byte("CD001")):
		return "application/x-iso9660-image"
	}
	t, _, _ := strings.Cut(http.DetectContentType(b[:min(len(b), 512)]), ";")
	if t == "application/octet-stream" {
		return ""
	}
	return t
}

// archive reads a zip's directory, whose size it checks first: the standard
// reader takes all of it into memory.
func (w *walker) archive(f *File, data []byte) {
	n, size, ok := directory(data)
	if !ok {
		w.report(DefectArchive)
		return
	}
	if n > w.limits.Entries || size > int64(w.limits.Entries)*1024 {
		w.report(DefectArchiveEntries)
		f.Archive = &Archive{Entries: n}
		return
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && len(z.File) == 0 {
		w.report(DefectArchive)
		return
	}
	a := &Archive{Entries: len(z.File)}
	var inflated, stored uint64
	for _, e := range z.File {
		inflated += e.UncompressedSize64
		stored += e.CompressedSize64
		a.Encrypted = a.Encrypted || e.Flags&1 != 0
		name := cleanName(e.Name)
		if name == "vbaProject.bin" {
			f.Macro = true
		}
		if len(a.Names) < maxNames && name != "" && !strings.HasSuffix(e.Name, "/") {
			a.Names = append(a.Names, name)
		}
	}
	if inflated > uint64(w.limits.Inflated) || stored > 0 && inflated/stored > uint64(w.limits.Ratio) {
		w.report(DefectArchiveSize)
	}
	f.Archive = a
}

// directory returns the entries and bytes of the central directory as the end
// record states them (APPNOTE 4.3.16).
func directory(b []byte) (entries int, size int64, ok bool) {
	const endSize = 22
	from := max(0, len(b)-endSize-65535)
	i := bytes.LastIndex(b[from:], []byte("PK\x05\x06"))
	if i < 0 || len(b)-from-i < endSize {
		return 0, 0, false
	}
	e := b[from+i:]
	le := func(o, n int) (v int64) {
		for k := n - 1; k >= 0; k-- {
			v = v<<8 | int64(e[o+k])
		}
		return v
	}
	return int(le(10, 2)), le(12, 4), true
}
