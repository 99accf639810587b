package custom

import (
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/obs"
)

// Config is one stage of a user's own. Exactly one of Filter, Map, Route,
// Convert, HTTP and Exec says what it does.
type Config struct {
	Name        string          `yaml:"name"`
	From        []string        `yaml:"from"`        // topics read
	To          string          `yaml:"to"`          // topic written; not for Route
	Concurrency int             `yaml:"concurrency"` // records in flight; 0: in order
	Timeout     config.Duration `yaml:"timeout"`     // of one record; 0: 30 s for http, exec and concurrently, else none
	Attempts    int             `yaml:"attempts"`    // 0: 5

	Filter  string   `yaml:"filter"` // true keeps the record as it is
	Map     string   `yaml:"map"`    // gives an object, a list of objects, or nil
	Route   []Route  `yaml:"route"`  // the first that is true takes the record
	Convert *Convert `yaml:"convert"`
	HTTP    *HTTP    `yaml:"http"`
	Exec    *Exec    `yaml:"exec"`
}

// Route sends records to a topic. The last one may do without When.
type Route struct {
	When string `yaml:"when"`
	To   string `yaml:"to"`
}

// Convert parses a record's value as one format and writes another: json, xml,
// csv, kv (key=value) and lines (plain text, in the field message).
type Convert struct {
	From    string   `yaml:"from"`
	To      string   `yaml:"to"`
	Columns []string `yaml:"columns"` // csv: names, in order; none: the record's first line names them, or when writing, all fields sorted
	Root    string   `yaml:"root"`    // xml written: the outermost element; "": event
}

// HTTP calls a service with the event as JSON, and merges its answer.
type HTTP struct {
	URL     string                   `yaml:"url"`
	Method  string                   `yaml:"method"` // "": POST
	Headers map[string]config.Secret `yaml:"headers"`
	Merge   string                   `yaml:"merge"`    // field that gets the answer, as "service.answer"
	Check   string                   `yaml:"check"`    // URL that answers when the service is there; "": the service's address is dialled
	Partial bool                     `yaml:"optional"` // without an answer go on, marked incomplete
}

// Exec is a program that gets one JSON line a record and answers with lines.
type Exec struct {
	Command []string `yaml:"command"`
	Dir     string   `yaml:"dir"`
}

var (
	topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)
	stageName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,99}$`)
	formats   = []string{"json", "xml", "csv", "kv", "lines"}
)

// Validate reports every mistake of the stage.
func (c Config) Validate() error {
	var errs []error
	field := func(wrong bool, name, format string, args ...any) {
		if wrong {
			errs = append(errs, config.Fieldf(name, format, args...))
		}
	}
	field(!stageName.MatchString(c.Name), "name", "want lower-case letters, digits, and . _ - within")
	field(len(c.From) == 0, "from", "want at least one topic")
	for _, topic := range c.From {
		field(!topicName.MatchString(topic), "from", "%q is no topic", topic)
		field(topic == bus.TopicResend, "from", "every stage reads %s already", topic)
		field(slices.Contains(c.outputs(), topic), "from", "%s is written by the stage itself", topic)
	}
	field(c.Route == nil && !topicName.MatchString(c.To), "to", "want the topic to write to")
	field(c.Route != nil && c.To != "", "to", "a route names its topics itself")
	for _, topic := range c.outputs() {
		field(bus.DeadClient(topic) != "" || topic == bus.TopicDeadState || topic == bus.TopicResend, "to", "%s is the program's own", topic)
	}
	field(c.actions() != 1, "name", "want exactly one of filter, map, route, convert, http and exec")
	field(c.Concurrency < 0 || c.Concurrency > 10_000, "concurrency", "want 0 to 10000")
	field(time.Duration(c.Timeout) < 0, "timeout", "want a time")
	if err := c.validateAction(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c Config) validateAction() error {
	switch {
	case c.Filter != "":
		return c.compiles("filter", c.Filter)
	case c.Map != "":
		return c.compiles("map", c.Map)
	case c.Convert != nil:
		if !slices.Contains(formats, c.Convert.From) || !slices.Contains(formats, c.Convert.To) {
			return config.Fieldf("convert", "want from and to of %v", formats)
		}
	case c.HTTP != nil:
		return c.HTTP.validate()
	case c.Exec != nil:
		if len(c.Exec.Command) == 0 || c.Exec.Command[0] == "" {
			return config.Fieldf("exec", "want a command")
		}
	}
	for i, r := range c.Route {
		if !topicName.MatchString(r.To) || (r.When == "" && i < len(c.Route)-1) {
			return config.Fieldf("route", "route %d: want a topic, and an expression but for the last", i+1)
		}
		if err := c.compiles("route", r.When); r.When != "" && err != nil {
			return err
		}
	}
	return nil
}

func (c Config) compiles(field, text string) error {
	if _, err := compile(text); err != nil {
		return config.Fieldf(field, "%v", err)
	}
	return nil
}

func (c Config) actions() int {
	n := 0
	for _, there := range []bool{c.Filter != "", c.Map != "", c.Route != nil, c.Convert != nil, c.HTTP != nil, c.Exec != nil} {
		if there {
			n++
		}
	}
	return n
}

func (c Config) outputs() []string {
	if c.Route == nil {
		return []string{c.To}
	}
	var all []string
	for _, r := range c.Route {
		all = append(all, r.To)
	}
	return all
}

// Asks reports whether the stage calls a service, whose answer another time
// may be another.
func (c Config) Asks() bool { return c.HTTP != nil }

// Spec returns the client that runs the stage. What a program writes to its
// standard error goes to the scope's log.
func (c Config) Spec(version string, scope obs.Scope) (client.Spec, error) {
	if err := c.Validate(); err != nil {
		return client.Spec{}, err
	}
	stage, err := c.stage(scope)
	if err != nil {
		return client.Spec{}, err
	}
	if c.Timeout == 0 && (c.HTTP != nil || c.Exec != nil) {
		c.Timeout = config.Duration(defaultTimeout)
	}
	return client.Spec{
		Name: c.Name, Inputs: c.From, Outputs: c.outputs(), Stage: stage, Version: version,
		Concurrency: c.Concurrency, Timeout: time.Duration(c.Timeout), Attempts: c.Attempts,
	}, nil
}

func (c Config) stage(scope obs.Scope) (client.Stage, error) {
	switch {
	case c.Filter != "":
		return newFilter(c)
	case c.Map != "":
		return newMapper(c)
	case c.Route != nil:
		return newRouter(c)
	case c.Convert != nil:
		return &converter{name: c.Name, to: c.To, config: *c.Convert}, nil
	case c.HTTP != nil:
		return newCaller(c), nil
	default:
		return newProgram(c, scope), nil
	}
}
