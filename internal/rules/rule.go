package rules

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Rule is one rule of a file.
type Rule struct {
	ID       int    `json:"sid"`
	Revision int    `json:"rev"`
	Action   string `json:"action"` // alert, drop, pass …
	Message  string `json:"msg"`
	Class    string `json:"classtype,omitempty"`
	Enabled  bool   `json:"enabled"`
	Text     string `json:"text,omitempty"` // without the comment sign of one that is off
}

// longestRule bounds one rule; the longest of Emerging Threats has 8 KB.
const longestRule = 1 << 20

// parse reads a line of a rule file. What is no rule, on or off, gives false.
func parse(line string) (Rule, bool) {
	text := strings.TrimSpace(line)
	r := Rule{Enabled: true}
	for strings.HasPrefix(text, "#") {
		r.Enabled = false
		text = strings.TrimSpace(text[1:])
	}
	action, _, _ := strings.Cut(text, " ")
	switch action {
	case "alert", "drop", "pass", "reject", "rejectsrc", "rejectdst", "rejectboth":
	default:
		return Rule{}, false
	}
	open := strings.IndexByte(text, '(')
	if open < 0 || !strings.HasSuffix(text, ")") {
		return Rule{}, false
	}
	r.Action, r.Text = action, text
	for name, value := range options(text[open+1 : len(text)-1]) {
		switch name {
		case "sid":
			r.ID, _ = strconv.Atoi(value)
		case "rev":
			r.Revision, _ = strconv.Atoi(value)
		case "msg":
			r.Message = unquote(value)
		case "classtype":
			r.Class = value
		}
	}
	return r, r.ID > 0
}

// options yields the "name:value;" pairs of a rule. As in the engine, only a
// semicolon behind a backslash is part of a value, quoted or not.
func options(text string) func(func(name, value string) bool) {
	return func(yield func(string, string) bool) {
		start := 0
		for i := 0; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case ';':
				name, value, _ := strings.Cut(text[start:i], ":")
				if !yield(strings.TrimSpace(name), strings.TrimSpace(value)) {
					return
				}
				start = i + 1
			}
		}
	}
}

func unquote(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	return strings.NewReplacer(`\"`, `"`, `\;`, `;`, `\\`, `\`, `\:`, `:`).Replace(s)
}

// eachLine calls do for every line of a rule file.
func eachLine(r io.Reader, do func(line string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), longestRule)
	for n := 1; s.Scan(); n++ {
		if err := do(s.Text()); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s.Err()
}
