package hygiene

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed data/*.txt
var shipped embed.FS

// Lists are the data the checks read. They are not changed once loaded, so
// they may be used concurrently.
type Lists struct {
	scores     map[string]int
	brands     []brand
	byDomain   map[string]int // registered domain → index into brands
	shorteners domains
	hosting    domains
	tenants    domains
	freemail   domains
	tlds       map[string]bool
	phrases    map[string][]string
	matchers   map[string]*matcher // of phrases, by kind
	names      *matcher            // of brands, as words
	nameOf     []int               // brand of each of names
	wholes     *matcher            // of brands, words as well
	wholeOf    []int
	carried    map[string]int // word of a brand that a domain may carry → brand
	long       []carriedWord  // those long enough to be looked for within a label
	skeletons  []labelSkeleton
	redirects  map[string][]string // host → starts of paths
	extensions map[string]map[string]bool
	confusable map[rune]rune
}

// brand is one name mail is forged in.
type brand struct {
	name    string
	words   []string // folded; count anywhere in a name
	whole   []string // folded; count only as the whole name
	domains []string
	labels  []string // of the domains, without their public suffix
}

// domains is a set of domains and all that lies below them.
type domains map[string]bool

// match returns the entry that a domain is or lies below, or "".
func (d domains) match(domain string) string {
	for s := domain; s != ""; {
		if d[s] {
			return s
		}
		i := strings.IndexByte(s, '.')
		if i < 0 {
			break
		}
		s = s[i+1:]
	}
	return ""
}

// Load reads the lists that ship with the program and then those of the same
// name in dir, if one is given. Its errors name file and line.
func Load(dir string) (*Lists, error) {
	l := &Lists{
		scores: map[string]int{}, byDomain: map[string]int{}, shorteners: domains{}, hosting: domains{},
		tenants: domains{}, freemail: domains{}, tlds: map[string]bool{}, phrases: map[string][]string{}, redirects: map[string][]string{},
		extensions: map[string]map[string]bool{}, confusable: map[rune]rune{},
	}
	known := map[string]bool{}
	sub, err := fs.Sub(shipped, "data")
	if err != nil {
		return nil, fmt.Errorf("opening the shipped lists: %w", err)
	}
	// The confusable characters first: other lists are folded with them.
	for _, name := range [...]string{"confusables", "scores", "brands", "shorteners", "hosting", "tenants", "freemail", "tlds", "phrases", "extensions", "redirectors"} {
		known[name+".txt"] = true
		if err := l.read(sub, name); err != nil {
			return nil, err
		}
		if dir == "" {
			continue
		}
		if err := l.read(os.DirFS(dir), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if dir != "" {
		if err := refuseOthers(dir, known); err != nil {
			return nil, err
		}
	}
	l.compile()
	return l, nil
}

type carriedWord struct {
	word  string
	brand int
}

type labelSkeleton struct {
	label, skeleton, domain string
}

// compile makes of the lists what the checks look things up in.
func (l *Lists) compile() {
	l.matchers, l.carried = map[string]*matcher{}, map[string]int{}
	for kind, phrases := range l.phrases {
		l.matchers[kind] = newMatcher(phrases)
	}
	var names, wholes []string
	for i, b := range l.brands {
		for _, d := range b.domains {
			l.byDomain[d] = i
			label := mainLabel(d)
			// A domain that is a word of the language has too many neighbours.
			if label != "" && contains(b.words, label) {
				l.skeletons = append(l.skeletons, labelSkeleton{label, l.skeleton(label), d})
			}
		}
		for _, w := range b.words {
			names, l.nameOf = append(names, w), append(l.nameOf, i)
			if len(w) >= 5 && strings.IndexByte(w, ' ') < 0 {
				l.carried[w] = i
				if len(w) >= 7 {
					l.long = append(l.long, carriedWord{w, i})
				}
			}
		}
		for _, w := range b.whole {
			wholes, l.wholeOf = append(wholes, w), append(l.wholeOf, i)
		}
	}
	l.names, l.wholes = newMatcher(names), newMatcher(wholes)
}

// refuseOthers finds files that would be ignored: most often a misspelt name.
func refuseOthers(dir string, known map[string]bool) error {
	all, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return fmt.Errorf("listing %s: %w", dir, err)
	}
	for _, f := range all {
		if !known[filepath.Base(f)] {
			return fmt.Errorf("%s is none of the lists", f)
		}
	}
	return nil
}

func (l *Lists) read(from fs.FS, name string) error {
	f, err := from.Open(name + ".txt")
	if err != nil {
		return fmt.Errorf("opening list: %w", err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := l.line(name, line); err != nil {
			return fmt.Errorf("%s.txt:%d: %w", name, n, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("reading %s.txt: %w", name, err)
	}
	return nil
}

var errLine = errors.New("line is not of the list's form")

func (l *Lists) line(list, s string) error {
	drop := strings.HasPrefix(s, "-") && list != "scores"
	s = strings.TrimPrefix(s, "-")
	if list == "scores" && drop {
		return errLine
	}
	switch list {
	case "scores":
		return l.score(s)
	case "brands":
		return l.brand(s, drop)
	case "shorteners":
		set(l.shorteners, strings.ToLower(s), drop)
	case "hosting":
		set(l.hosting, strings.ToLower(s), drop)
	case "tenants":
		set(l.tenants, strings.ToLower(s), drop)
	case "freemail":
		set(l.freemail, strings.ToLower(s), drop)
	case "tlds":
		set(l.tlds, strings.ToLower(strings.TrimPrefix(s, ".")), drop)
	case "phrases":
		return l.phrase(s, drop)
	case "extensions":
		kind, ext, ok := strings.Cut(s, " ")
		if !ok {
			return errLine
		}
		if l.extensions[kind] == nil {
			l.extensions[kind] = map[string]bool{}
		}
		set(l.extensions[kind], strings.ToLower(strings.TrimSpace(ext)), drop)
	case "redirectors":
		host, path, _ := strings.Cut(strings.ToLower(s), "/")
		if drop {
			delete(l.redirects, host)
			return nil
		}
		l.redirects[host] = append(l.redirects[host], "/"+path)
	case "confusables":
		from, to, ok := strings.Cut(s, " ")
		if !ok || len(to) != 1 {
			return errLine
		}
		for _, r := range from {
			l.confusable[r] = rune(to[0])
		}
	}
	return nil
}

func set[M ~map[string]bool](m M, key string, drop bool) {
	if drop {
		delete(m, key)
		return
	}
	m[key] = true
}

func (l *Lists) score(s string) error {
	f := strings.Fields(s)
	if len(f) != 2 {
		return errLine
	}
	n, err := strconv.Atoi(f[1])
	if err != nil || n < -100 || n > 100 {
		return fmt.Errorf("points of %s are no number from -100 to 100", f[0])
	}
	if f[0] != "threshold_suspicious" && f[0] != "threshold_bad" && !isCheck(f[0]) {
		return fmt.Errorf("there is no check %s", f[0])
	}
	l.scores[f[0]] = n
	return nil
}

func (l *Lists) phrase(s string, drop bool) error {
	kind, text, ok := strings.Cut(s, ":")
	text = plain(strings.TrimSpace(text))
	if !ok || text == "" {
		return errLine
	}
	if drop {
		kept := l.phrases[kind][:0:0]
		for _, p := range l.phrases[kind] {
			if p != text {
				kept = append(kept, p)
			}
		}
		l.phrases[kind] = kept
		return nil
	}
	l.phrases[kind] = append(l.phrases[kind], text)
	return nil
}

func (l *Lists) brand(s string, drop bool) error {
	names, doms, ok := strings.Cut(s, ":")
	b := brand{domains: strings.Fields(strings.ToLower(doms))}
	for n := range strings.SplitSeq(names, ",") {
		n = strings.TrimSpace(n)
		rest, whole := strings.CutPrefix(n, "=")
		if b.name == "" {
			b.name = rest
		}
		if f := l.fold(rest); f == "" {
			return errLine
		} else if whole {
			b.whole = append(b.whole, f)
		} else {
			b.words = append(b.words, f)
		}
	}
	kept := l.brands[:0]
	for _, have := range l.brands {
		if have.name != b.name {
			kept = append(kept, have)
		}
	}
	l.brands = kept
	if drop {
		return nil
	}
	if !ok || len(b.domains) == 0 {
		return errLine
	}
	for _, d := range b.domains {
		if label := mainLabel(d); len(label) >= 4 && !contains(b.labels, label) {
			b.labels = append(b.labels, label)
		}
	}
	l.brands = append(l.brands, b)
	return nil
}
