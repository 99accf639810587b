package custom

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/fault"
)

// Codes of a record's faults.
const (
	CodeNoJSON     = "no_json"
	CodeExpression = "expression"
	CodeResult     = "result"
)

// environment is what expressions see.
type environment struct {
	Event  any            `expr:"event"`
	Record map[string]any `expr:"record"`
}

// lenient makes every access to a member give nil where there is none.
type lenient struct{}

func (lenient) Visit(node *ast.Node) {
	member, ok := (*node).(*ast.MemberNode)
	if !ok || member.Method {
		return
	}
	member.Optional = true
	ast.Patch(node, &ast.ChainNode{Node: member})
}

func compile(text string) (*vm.Program, error) {
	return expr.Compile(text,
		expr.Env(environment{}),
		expr.Patch(lenient{}),
		expr.DisableBuiltin("now"), // results depend on the record alone
		expr.MaxNodes(2000),
		expr.Function("cidr", cidr, new(func(any, string) bool)),
	)
}

func cidr(arguments ...any) (any, error) {
	network, err := netip.ParsePrefix(arguments[1].(string))
	if err != nil {
		return nil, err
	}
	text, ok := arguments[0].(string)
	if !ok {
		return false, nil // no address is in no network
	}
	address, err := netip.ParseAddr(text)
	return err == nil && network.Contains(address.Unmap()), nil
}

// see builds the environment of a record.
func see(in *client.Record) (environment, error) {
	e := environment{Record: recordFields(in)}
	decoder := json.NewDecoder(bytes.NewReader(in.Value))
	decoder.UseNumber()
	if err := decoder.Decode(&e.Event); err != nil {
		return e, fault.NewPermanent(CodeNoJSON, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return e, fault.NewPermanent(CodeNoJSON, errors.New("something follows the JSON value"))
	}
	e.Event = numbers(e.Event)
	return e, nil
}

// numbers makes integers of numbers without fraction, so that ids of 64 bits
// keep all their digits.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case map[string]any:
		for k, inner := range v {
			v[k] = numbers(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = numbers(inner)
		}
	}
	return v
}

func recordFields(in *client.Record) map[string]any {
	headers := map[string]any{}
	for _, h := range in.Headers {
		headers[h.Key] = string(h.Value)
	}
	return map[string]any{
		"topic": in.Topic, "partition": int(in.Partition), "offset": int(in.Offset),
		"key": string(in.Key), "headers": headers, "origin": in.Origin,
	}
}

// evaluate runs a program. What it makes of a record is the record's doing.
func evaluate(program *vm.Program, e environment) (any, error) {
	result, err := expr.Run(program, e)
	if err != nil {
		return nil, fault.NewPermanent(CodeExpression, err)
	}
	return result, nil
}

func holds(program *vm.Program, e environment) (bool, error) {
	result, err := evaluate(program, e)
	if err != nil {
		return false, err
	}
	switch is := result.(type) {
	case bool:
		return is, nil
	case nil: // a missing field
		return false, nil
	}
	return false, fault.NewPermanent(CodeResult, fmt.Errorf("the expression gave %T, want true or false", result))
}
