package store

import "strings"

// String prints the query in its normal form: parsing it gives the same query,
// printed the same.
func (q *Query) String() string {
	e := q.Root()
	if e == nil {
		return ""
	}
	var b strings.Builder
	printExpr(&b, e)
	return b.String()
}

func printExpr(b *strings.Builder, e Expr) {
	switch e := e.(type) {
	case And:
		for i, t := range e.Terms {
			if i > 0 {
				b.WriteString(" AND ")
			}
			_, or := t.(Or)
			printNested(b, t, or)
		}
	case Or:
		for i, t := range e.Terms {
			if i > 0 {
				b.WriteString(" OR ")
			}
			printExpr(b, t)
		}
	case Not:
		b.WriteString("NOT ")
		switch e.Term.(type) {
		case And, Or:
			printNested(b, e.Term, true)
		default:
			printExpr(b, e.Term)
		}
	case Match:
		printField(b, e.Field)
		if e.Whole {
			b.WriteByte('=')
		}
		printPattern(b, e.Pattern)
	case Exists:
		printField(b, e.Field)
		b.WriteByte('*')
	case Compare:
		printField(b, e.Field)
		b.WriteString(string(e.Op))
		printText(b, e.Value)
	case Network:
		printField(b, e.Field)
		b.WriteString(e.Prefix.String())
	}
}

func printNested(b *strings.Builder, e Expr, parentheses bool) {
	if !parentheses {
		printExpr(b, e)
		return
	}
	b.WriteByte('(')
	printExpr(b, e)
	b.WriteByte(')')
}

func printField(b *strings.Builder, name string) {
	if name == "" {
		return
	}
	if strings.Trim(name, "0123456789abcdefABCDEF") == "" { // might be read as part of an address
		b.WriteString(`"` + name + `":`)
		return
	}
	printText(b, name)
	b.WriteByte(':')
}

func printPattern(b *strings.Builder, pattern []string) {
	for i, s := range pattern {
		if i > 0 {
			b.WriteByte('*')
		}
		if s != "" {
			printText(b, s)
		}
	}
}

// printText quotes what is not plainly a word.
func printText(b *strings.Builder, s string) {
	if isPlain(s) {
		b.WriteString(s)
		return
	}
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}

func isPlain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '@' || c == '-' && i > 0) {
			return false
		}
	}
	return s != "" && !strings.EqualFold(s, "and") && !strings.EqualFold(s, "or") && !strings.EqualFold(s, "not")
}
