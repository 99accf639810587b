package hygiene

import (
	"path"
	"strings"

	"github.com/decodersring/decoder/internal/decode/mail"
)

func attachmentChecks() []check {
	return []check{
		{"attachment_executable",
			"A program in a message is malware or against every rule.",
			"developers who send tools to each other", func(f *facts) string {
				return f.anyFile(func(a mail.File) string {
					if f.is("executable", a.Extension) || program(a.Detected) {
						return a.Name
					}
					return ""
				})
			}},
		{"attachment_archive_executable",
			"Programs are packed so that filters do not see them.",
			"a developer's archive", func(f *facts) string {
				return f.anyFile(func(a mail.File) string {
					if a.Archive == nil || a.Extension == "jar" {
						return ""
					}
					for _, n := range a.Archive.Names {
						if ext := extension(n); f.is("executable", ext) && ext != "js" && ext != "sh" || doubled(f, n) != "" {
							return a.Name + ": " + n
						}
					}
					if a.Archive.Entries == 1 && len(a.Archive.Names) == 1 && f.is("executable", extension(a.Archive.Names[0])) {
						return a.Name + ": " + a.Archive.Names[0]
					}
					return ""
				})
			}},
		{"attachment_double_extension",
			"invoice.pdf.exe shows as invoice.pdf where known endings are hidden.",
			"none known", func(f *facts) string {
				return f.anyFile(func(a mail.File) string { return doubled(f, a.Name) })
			}},
		{"attachment_page",
			"A page as attachment opens in the browser and passes by every check of links.",
			"a report or an encrypted-mail service", func(f *facts) string {
				return f.anyFile(func(a mail.File) string {
					if f.is("page", a.Extension) && (!a.Inline || a.Extension != "svg") && a.Name != "" {
						return a.Name
					}
					return ""
				})
			}},
		{"attachment_password_form",
			"An attached page that asks for a password is a copy of a sign-in page.",
			"an encrypted-mail service", func(f *facts) string { return f.attachedForm() }},
		{"attachment_macro",
			"Macros in documents install malware.",
			"a spreadsheet among colleagues", func(f *facts) string {
				return f.anyFile(func(a mail.File) string {
					if a.Macro || f.is("macro", a.Extension) {
						return a.Name
					}
					return ""
				})
			}},
		{"attachment_encrypted",
			"An encrypted archive keeps scanners out; the password is in the message.",
			"someone careful about what he sends", func(f *facts) string {
				return f.anyFile(func(a mail.File) string {
					if a.Archive != nil && a.Archive.Encrypted {
						return a.Name
					}
					return ""
				})
			}},
		{"attachment_type_lies",
			"A program or archive under the name of a document or picture is disguised.",
			"a file renamed by mistake", func(f *facts) string {
				return f.anyFile(func(a mail.File) string {
					switch a.Extension {
					case "pdf", "jpg", "jpeg", "png", "gif", "txt", "rtf", "csv", "mp3", "mp4":
						if program(a.Detected) || a.Detected == "application/zip" || a.Detected == "application/vnd.rar" || a.Detected == "application/x-ms-shortcut" {
							return a.Name + " is " + a.Detected
						}
					}
					return ""
				})
			}},
	}
}

func (f *facts) anyFile(find func(mail.File) string) string {
	for _, a := range f.doc.Email.Attachments {
		if s := find(a.File); s != "" {
			return quote(s)
		}
	}
	return ""
}

func (f *facts) is(kind, ext string) bool { return f.lists.extensions[kind][ext] }

// attachedForm returns the attached page when there is one and a password is
// asked for somewhere: the walker counts over all pages.
func (f *facts) attachedForm() string {
	if f.doc.Mail.Body.Password == 0 {
		return ""
	}
	return f.anyFile(func(a mail.File) string {
		if f.is("page", a.Extension) {
			return a.Name
		}
		return ""
	})
}

func program(detected string) bool {
	return detected == "application/x-msdownload" || detected == "application/x-elf" || detected == "application/x-ms-shortcut"
}

func extension(name string) string {
	return strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))
}

// doubled returns a name that ends with a harmless extension and then one that
// runs.
func doubled(f *facts, name string) string {
	ext := extension(name)
	if !f.is("executable", ext) {
		return ""
	}
	before := strings.TrimRight(strings.TrimSuffix(name, path.Ext(name)), " ")
	if f.is("harmless", extension(before)) {
		return name
	}
	return ""
}
