package custom

import (
	"context"

	"github.com/expr-lang/expr/vm"

	"github.com/decodersring/decoder/internal/client"
)

// filter passes records on as they are, or not.
type filter struct {
	when *vm.Program
	to   string
}

func newFilter(c Config) (client.Stage, error) {
	when, err := compile(c.Filter)
	return &filter{when: when, to: c.To}, err
}

// Handle implements [client.Stage].
func (f *filter) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	e, err := see(in)
	if err != nil {
		return err
	}
	keep, err := holds(f.when, e)
	if keep {
		out.Emit(f.to, in.Key, in.Value, in.Headers...)
	}
	return err
}

// router passes each record on to the topic of the first route that holds.
type router struct {
	routes []route
}

type route struct {
	when *vm.Program // nil: always
	to   string
}

func newRouter(c Config) (client.Stage, error) {
	r := &router{}
	for _, one := range c.Route {
		next := route{to: one.To}
		if one.When != "" {
			var err error
			if next.when, err = compile(one.When); err != nil {
				return nil, err
			}
		}
		r.routes = append(r.routes, next)
	}
	return r, nil
}

// Handle implements [client.Stage]. A record no route holds for is dropped.
func (r *router) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	e, err := see(in)
	if err != nil {
		return err
	}
	for _, one := range r.routes {
		taken := one.when == nil
		if !taken {
			if taken, err = holds(one.when, e); err != nil {
				return err
			}
		}
		if taken {
			out.Emit(one.to, in.Key, in.Value, in.Headers...)
			return nil
		}
	}
	return nil
}
