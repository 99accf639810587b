package api

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference returns the reference page of the API as Markdown, made from the
// table of routes.
func Reference() ([]byte, error) {
	var b strings.Builder
	b.WriteString(referenceIntro)
	b.WriteString("\n## Routes\n\n| | | takes | gives |\n|---|---|---|---|\n")
	for _, rt := range routes() {
		marks := ""
		switch rt.access {
		case open:
			marks = " *(open)*"
		case local:
			marks = " *(socket only)*"
		case signedIn:
		}
		fmt.Fprintf(&b, "| `%s %s` | %s%s | %s | %s |\n", rt.method, rt.path, rt.summary, marks, takes(rt), gives(rt))
	}
	b.WriteString("\nThe shapes of requests and answers are in the OpenAPI document: `GET /api/v1/openapi.json`, no sign-in needed.\n")
	return []byte(b.String()), nil
}

func takes(rt route) string {
	var names []string
	for _, f := range fields(rt.in) {
		if f.path != "" {
			continue // stands in the path
		}
		name := "`" + f.name + "`"
		if !f.empty {
			name = "**" + name + "**"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func gives(rt route) string {
	g := schemas{defs: map[string]any{}}
	name := "JSON"
	if rt.out.Kind() == reflect.Struct {
		ref, _ := g.ref(rt.out).(map[string]any)
		name = strings.TrimPrefix(fmt.Sprint(ref["$ref"]), "#/components/schemas/")
	}
	switch {
	case rt.out == reflect.TypeFor[Empty]():
		return ""
	case rt.out == reflect.TypeFor[Live]():
		return "server-sent events"
	case rt.stream:
		return "lines of " + name
	}
	return name
}

const referenceIntro = `# HTTP API

Made from the table of routes by ` + "`go test ./internal/api -update`" + `.

All routes lie under ` + "`/api/v1`" + ` and speak JSON. They are served twice:

- **Over the unix socket** ` + "`DIR/control.sock`" + ` (mode 0600), to processes of the same user and of root, told by
  their peer credentials. No password:
  ` + "`curl --unix-socket DIR/control.sock http://decoder/api/v1/alerts`" + `.
- **Over TCP**, after sign-in. ` + "`POST /session`" + ` with ` + "`{\"user\":\"admin\",\"password\":\"…\"}`" + ` sets a cookie (HttpOnly,
  SameSite=Strict). The first start prints the first password; ` + "`POST /password`" + ` over the socket makes a new one.
  A request that changes something must come from a page of the same origin. A request for a host name that is
  neither an address, nor localhost, nor the machine's own name, nor configured is refused with 421.

Beside them: ` + "`GET /metrics`" + ` (Prometheus text, after sign-in or over the socket), ` + "`GET /healthz`" + ` (200 while the program
answers and no call to a client's handler hangs), ` + "`GET /readyz`" + ` (200 while no component has failed or is still starting).
With ` + "`metrics.listen`" + ` in the configuration, or ` + "`decoder run --listen`" + `, these three and ` + "`GET /status`" + ` (what each client
of the process does and waits for, as JSON) are served at an address of their own, without a sign-in.

## Habits

- An error is ` + "`{\"error\":{\"code\":\"…\",\"message\":\"…\"}}`" + ` with a fitting status; an error in a query has its ` + "`column`" + `, from 1.
  Codes: ` + "`bad_request`, `bad_query`, `sign_in`, `wrong_password`, `forbidden`, `local_only`, `not_found`, `conflict`, `too_large`, `slow_down`, `timeout`, `cancelled`, `unavailable` (this instance does not run that part), `internal`" + `.
- A GET takes query parameters, everything else a JSON body of at most 1 MiB. What is not known is refused.
- Times are RFC 3339; a request also takes a date, or an age such as ` + "`24h`" + ` or ` + "`7d`" + `.
- A list has a ` + "`cursor`" + ` when there is a next page; give it back to get that.
- A stream is one JSON document a line (` + "`application/x-ndjson`" + `); when it breaks, the last line is an error. ` + "`GET /live`" + `
  gives server-sent events: ` + "`inbox`" + ` with the counts and ` + "`health`" + `.
- An answer takes at most 30 seconds; a stream lasts as long as its reader reads.
`
