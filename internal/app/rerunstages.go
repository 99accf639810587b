package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/detect"
	hygienestage "github.com/decodersring/decoder/internal/stage/hygiene"
	"github.com/decodersring/decoder/internal/stage/jsonify"
	"github.com/decodersring/decoder/internal/stage/normalise"
)

// rerunSettings are how the stage of a rerun is made; they are kept with it.
type rerunSettings struct {
	Rules []string `json:"rules,omitempty"` // names of the rule files; what they say is attached
	Ask   bool     `json:"ask,omitempty"`   // services are asked again
}

// rerunStage is a stage as it is run again: what it reads and writes, and how
// it is made, for each time the run goes on.
type rerunStage struct {
	client.Spec
	make func(ctx context.Context, run rerun.Run) (client.Stage, error)
}

// rerunStage returns the stage of that name, or refuses one that cannot be run
// again so.
func (r *reruns) rerunStage(name string, s rerunSettings) (rerunStage, error) {
	if len(s.Rules) > 0 && name != clientDetect {
		return rerunStage{}, api.BadRequest("rules are what %s goes by, not %s", clientDetect, name)
	}
	out, asks, err := r.chosenStage(name, s)
	switch {
	case err != nil:
		return out, err
	case asks && !s.Ask:
		return out, api.BadRequest("stage %q calls a service, and what it answered is recorded nowhere but in the stage's outputs: it is run again only when the service may be asked again (--ask)", name)
	case s.Ask && !asks:
		return out, api.BadRequest("stage %q asks nobody when it is run again: it goes by what was recorded", name)
	}
	out.Name, out.Version = name, r.app.options.Version
	return out, nil
}

func (r *reruns) chosenStage(name string, s rerunSettings) (_ rerunStage, asks bool, err error) {
	a := r.app
	switch name {
	case clientNormalise:
		stage, err := normalise.New(normalise.Options{Home: a.home, Sensor: a.sensorName()})
		if err != nil {
			return rerunStage{}, false, err
		}
		return made(stage, stage.Inputs(), stage.Outputs()), false, nil
	case clientDetect:
		out := made(nil, []string{bus.TopicEvents}, []string{bus.TopicAlerts})
		out.make = func(ctx context.Context, run rerun.Run) (client.Stage, error) { return r.detect(ctx, run, s) }
		return out, false, nil
	case clientJsonify:
		out := made(nil, []string{bus.TopicEmail}, []string{bus.TopicJsonified})
		out.make = r.jsonify
		return out, false, nil
	case clientHygiene: // what did not answer stays so: nothing waits on email_recheck
		out := made(nil, []string{bus.TopicJsonified}, []string{bus.TopicEvents, bus.TopicEmailAlert})
		out.make = r.hygiene
		return out, false, nil
	}
	for _, own := range a.options.Config.Stages {
		if own.Name == name {
			spec, err := own.Spec(a.options.Version, a.scope("rerun of "+name))
			return rerunStage{spec, func(context.Context, rerun.Run) (client.Stage, error) { return spec.Stage, nil }}, own.Asks(), err
		}
	}
	return rerunStage{}, false, api.BadRequest("stage %q cannot be run again: want %s, %s, %s, %s or a stage of one's own",
		name, clientNormalise, clientDetect, clientJsonify, clientHygiene)
}

func made(stage client.Stage, inputs, outputs []string) rerunStage {
	return rerunStage{
		client.Spec{Inputs: inputs, Outputs: outputs},
		func(context.Context, rerun.Run) (client.Stage, error) { return stage, nil },
	}
}

// detect goes by the rules attached to the run, if there are any.
func (r *reruns) detect(ctx context.Context, run rerun.Run, s rerunSettings) (client.Stage, error) {
	if len(s.Rules) == 0 {
		return detect.New(detect.Suricata{}, detect.Gap{}), nil
	}
	packed, err := r.runs.Attachment(ctx, run)
	if err != nil {
		return nil, err
	}
	if packed == nil {
		return nil, fmt.Errorf("the log holds the rules of rerun %s no more", run.ID)
	}
	rules, err := unpackRules(packed)
	return detect.New(detect.Suricata{Rules: rules}, detect.Gap{}), err
}

// packedRules reads rule files, and returns what they say of their alerts, to
// be kept with a run.
func (r *reruns) packedRules(paths []string) ([]byte, error) {
	if r.app.rules == nil {
		return nil, api.Unavailable("rules are not read here")
	}
	alerting, err := r.app.rules.AlertingOf(paths...)
	if err != nil {
		return nil, api.BadRequest("%v", err)
	}
	rules := make(map[string]detect.Rule, len(alerting))
	for id, a := range alerting {
		rules[id] = detect.Rule{
			Name: a.Message, Revision: int64(a.Revision), Category: a.Category, Priority: int64(a.Priority),
			Severity: a.Metadata["signature_severity"], Confidence: a.Metadata["confidence"], Malware: a.Metadata["malware_family"],
		}
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(rules), z.Close()); err != nil {
		return nil, fmt.Errorf("packing rules: %w", err)
	}
	return b.Bytes(), nil
}

func unpackRules(packed []byte) (map[string]detect.Rule, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	var rules map[string]detect.Rule
	if err == nil {
		err = json.NewDecoder(z).Decode(&rules)
	}
	if err != nil {
		return nil, fmt.Errorf("unpacking rules: %w", err)
	}
	return rules, nil
}

// jsonify takes from the live run what was asked of the DNS.
func (r *reruns) jsonify(ctx context.Context, run rerun.Run) (client.Stage, error) {
	c := r.app.options.Config.Mail
	jc := c.jsonify()
	if c.Auth == "dns" {
		live, err := r.runs.Live(ctx, bus.TopicJsonified, clientJsonify, run.From, jsonify.Recall)
		if err != nil {
			return nil, err
		}
		jc.Recorded = func(ctx context.Context, doc *mail.Document) (mail.Auth, error) {
			var auth mail.Auth
			value, err := live.Value(ctx, event.ID(mail.Origin(doc.Mail.Identity), jsonify.KindEmail, 0))
			if err == nil && value != nil {
				err = json.Unmarshal(value, &auth)
			}
			return auth, err
		}
	}
	return jsonify.New(jc, obs.Scope{}), nil // what it reads is none of the program's metrics
}

// hygiene takes from the live run what services and the past said.
func (r *reruns) hygiene(ctx context.Context, run rerun.Run) (client.Stage, error) {
	c := r.app.options.Config.Mail
	engine, err := c.Engine()
	if err != nil {
		return nil, err
	}
	live, err := r.runs.Live(ctx, bus.TopicEvents, clientHygiene, run.From, hygienestage.Recall)
	if err != nil {
		return nil, err
	}
	return hygienestage.NewRepeat(engine, c.keep(), live.Value), nil
}
