package mail

import "strings"

// ParseAuthResults reads an Authentication-Results field body (RFC 8601). It
// takes what Microsoft writes too: no authserv-id, methods from the start.
func ParseAuthResults(s string) Auth {
	var a Auth
	s = dropComments(s)
	first, rest, _ := strings.Cut(s, ";")
	if strings.IndexByte(first, '=') < 0 {
		a.ServID, _, _ = strings.Cut(strings.TrimSpace(first), " ")
		a.ServID = strings.ToLower(a.ServID)
	} else {
		rest = s
	}
	for n := 0; rest != "" && n < 50; n++ {
		var one string
		one, rest, _ = strings.Cut(rest, ";")
		method, result, props := resinfo(one)
		switch method {
		case "spf":
			a.SPF = first1(a.SPF, result)
		case "dmarc":
			a.DMARC = first1(a.DMARC, result)
		case "arc":
			a.ARC = first1(a.ARC, result)
		case "dkim":
			d := props["header.d"]
			if d == "" {
				_, d, _ = strings.Cut(props["header.i"], "@")
			}
			a.DKIM = append(a.DKIM, DKIMResult{Result: result, Domain: Domain(d)})
		}
	}
	return a
}

func first1(have, got string) string {
	if have != "" {
		return have
	}
	return got
}

// resinfo reads "method=result prop=value …".
func resinfo(s string) (method, result string, props map[string]string) {
	for i, f := range strings.Fields(s) {
		k, v, ok := strings.Cut(f, "=")
		if i == 0 {
			if !ok {
				return "", "", nil
			}
			method, _, _ = strings.Cut(strings.ToLower(k), "/")
			result = knownResult(strings.ToLower(v))
			props = map[string]string{}
			continue
		}
		if ok {
			props[strings.ToLower(k)] = strings.Trim(v, `"`)
		}
	}
	return method, result, props
}

// knownResult keeps the set of results bounded.
func knownResult(s string) string {
	switch s {
	case "pass", "fail", "softfail", "neutral", "none", "temperror", "permerror", "policy", "bestguesspass":
		return s
	case "hardfail":
		return "fail"
	}
	return "unknown"
}

func dropComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			out = append(out, c)
		}
	}
	return string(out)
}

// trustedAuth returns the topmost results that the border wrote: those above
// its own trace field, which whoever sent the message could not reach.
func trustedAuth(h header, c *Client, b Border) Auth {
	if !b.set() || c == nil || c.Method != "border" {
		return Auth{}
	}
	hop := -1
	for i := range h.fields {
		switch {
		case strings.EqualFold(h.fields[i].name, "Received"):
			if hop++; hop >= c.Hop {
				return Auth{}
			}
		case strings.EqualFold(h.fields[i].name, "Authentication-Results"):
			a := ParseAuthResults(unfold(h.fields[i].body))
			if b.has(a.ServID) || a.ServID == "" && b.Microsoft {
				a.Trusted = true
				return a
			}
		}
	}
	return Auth{}
}
