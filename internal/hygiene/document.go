package hygiene

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
)

// Keep says what of a message stands in the documents made of its verdict.
// Bodies never do. The zero value keeps what a verdict needs to be understood.
type Keep struct {
	NoSubject    bool // leave subjects out
	NoRecipients bool // leave recipients out
	LinksAlways  bool // full links in every verdict; else in alerts alone, and hosts in all
}

// verdictDocument is a verdict as an event: ECS, and mail.* beside it.
type verdictDocument struct {
	Timestamp time.Time      `json:"@timestamp"`
	ECS       mail.ECS       `json:"ecs"`
	Event     verdictEvent   `json:"event"`
	Message   string         `json:"message"`
	Email     mail.Email     `json:"email"`
	Source    *mail.Endpoint `json:"source,omitempty"`
	Related   mail.Related   `json:"related"`
	Mail      verdictMail    `json:"mail"`
	Rule      *rule          `json:"rule,omitempty"`
	Decoder   *decoderFields `json:"decoder,omitempty"`
}

type verdictEvent struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Category []string `json:"category"`
	Type     []string `json:"type"`
	Module   string   `json:"module"`
	Dataset  string   `json:"dataset"`
	Risk     int      `json:"risk_score"`
	Severity int      `json:"severity,omitempty"`
}

type verdictMail struct {
	Identity string         `json:"identity"`
	From     mail.From      `json:"from"`
	ReplyTo  []mail.Mailbox `json:"reply_to,omitempty"`
	Envelope mail.Envelope  `json:"envelope,omitzero"`
	Client   *mail.Client   `json:"client,omitempty"`
	Auth     mail.Auth      `json:"auth,omitzero"`
	List     mail.List      `json:"list,omitzero"`
	URLs     []mail.URL     `json:"urls,omitempty"`
	Raw      mail.Raw       `json:"raw"`
	Defects  []string       `json:"defects,omitempty"`
	Verdict  Verdict        `json:"verdict"`
}

type rule struct {
	Name    string `json:"name"`
	Ruleset string `json:"ruleset"`
	Version string `json:"version"`
}

type decoderFields struct {
	Raw   *mail.RawRecord `json:"raw,omitempty"`
	Alert *alertFields    `json:"alert,omitempty"`
}

type alertFields struct {
	Group    string    `json:"group"`
	Kind     string    `json:"kind"`
	Severity string    `json:"severity"`
	Score    int       `json:"score"`
	Title    string    `json:"title"`
	Revision int       `json:"revision"`
	Events   []string  `json:"events"`
	Checks   []Finding `json:"checks"`
}

// Output is a document and how it is addressed on the log.
type Output struct {
	ID    string
	Time  time.Time
	Value []byte
}

// EventOf makes the verdict's event.
func EventOf(doc *mail.Document, v Verdict, k Keep) (Output, error) {
	d := documentOf(doc, v, k)
	if !k.LinksAlways {
		d.Mail.URLs = nil
	}
	return encode(d)
}

// AlertOf makes the verdict's alert, and names the event behind it.
func AlertOf(doc *mail.Document, v Verdict, k Keep) (Output, error) {
	d := documentOf(doc, v, k)
	events := []string{d.Event.ID}
	origin := mail.Origin(doc.Mail.Identity)
	d.Event.ID = event.ID(origin, event.KindAlert, v.Revision)
	d.Event.Kind, d.Event.Module, d.Event.Dataset = "alert", "decoder", "decoder.alert"
	severity, number := severityOf(v)
	d.Event.Severity = number
	d.Message = titleOf(doc, v)
	top := "mail"
	var counted []Finding
	for _, c := range v.Checks {
		if c.Points != 0 {
			counted = append(counted, c)
		}
	}
	if len(counted) > 0 {
		top = counted[0].Name
	}
	d.Rule = &rule{Name: top, Ruleset: "decoder-hygiene", Version: strconv.Itoa(Version)}
	d.Decoder.Alert = &alertFields{
		Group: doc.Mail.Identity, Kind: "mail", Severity: severity, Score: v.Score, Title: d.Message,
		Revision: v.Revision, Events: events, Checks: counted,
	}
	return encode(d)
}

func documentOf(doc *mail.Document, v Verdict, k Keep) *verdictDocument {
	origin := mail.Origin(doc.Mail.Identity)
	d := &verdictDocument{
		Timestamp: doc.Timestamp, ECS: doc.ECS, Email: doc.Email, Source: doc.Source, Related: doc.Related,
		Event: verdictEvent{
			ID: event.ID(origin, event.KindEvent, v.Revision), Kind: "event", Category: []string{"email"},
			Type: []string{"info"}, Module: "mail", Dataset: "mail.verdict", Risk: v.Score,
		},
		Mail: verdictMail{
			Identity: doc.Mail.Identity, From: doc.Mail.From, ReplyTo: doc.Mail.ReplyTo, Envelope: doc.Mail.Envelope,
			Client: doc.Mail.Client, Auth: doc.Mail.Auth, List: doc.Mail.List, URLs: doc.Mail.URLs,
			Raw: doc.Mail.Raw, Defects: doc.Mail.Defects, Verdict: v,
		},
		Decoder: &decoderFields{},
	}
	if doc.Decoder != nil {
		d.Decoder.Raw = doc.Decoder.Raw
	}
	if k.NoSubject {
		d.Email.Subject = ""
	}
	if k.NoRecipients {
		d.Email.To, d.Email.CC, d.Email.BCC = mail.Addresses{}, mail.Addresses{}, mail.Addresses{}
		d.Mail.Envelope.To = nil
		d.Related.User = slices.Concat(doc.Email.From.Address, doc.Email.ReplyTo.Address)
		slices.Sort(d.Related.User)
		d.Related.User = slices.Compact(d.Related.User)
	}
	d.Message = fmt.Sprintf("mail from %s: %s, score %d", sender(doc), v.Result, v.Score)
	return d
}

func sender(doc *mail.Document) string {
	if a := doc.Mail.From.Address; a != "" {
		return a
	}
	return "an unnamed sender"
}

func severityOf(v Verdict) (string, int) {
	switch {
	case v.Score >= 90:
		return "critical", 4
	case v.Result == Bad:
		return "high", 3
	case v.Result == Suspicious:
		return "medium", 2
	}
	return "low", 1
}

func titleOf(doc *mail.Document, v Verdict) string {
	var why []string
	for _, c := range v.Checks {
		if c.Points > 0 && len(why) < 3 {
			why = append(why, strings.ReplaceAll(c.Name, "_", " "))
		}
	}
	what := map[string]string{Bad: "Bad mail", Suspicious: "Suspicious mail"}[v.Result]
	if what == "" {
		what = "Mail"
	}
	return fmt.Sprintf("%s from %s: %s", what, sender(doc), strings.Join(why, ", "))
}

func encode(d *verdictDocument) (Output, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return Output{}, fmt.Errorf("writing verdict: %w", err)
	}
	return Output{ID: d.Event.ID, Time: d.Timestamp, Value: b}, nil
}
