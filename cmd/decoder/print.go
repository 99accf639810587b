package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// clean makes text from outside safe for a terminal: no control characters,
// no changes of direction.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '·'
		}
		return r
	}, s)
}

func local(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// table writes rows in columns.
func table(w io.Writer, head string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(head, " ", "\t"))
	for _, r := range rows {
		for i := range r {
			r[i] = clean(r[i])
		}
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// list prints items: one JSON object a line, or in columns.
func list[T any](w io.Writer, asJSON bool, items []T, head string, row func(T) []string) error {
	if !asJSON {
		rows := make([][]string, len(items))
		for i, item := range items {
			rows[i] = row(item)
		}
		return table(w, head, rows)
	}
	for _, item := range items {
		if err := printJSON(w, item); err != nil {
			return err
		}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func printLine(w io.Writer, doc json.RawMessage) error {
	_, err := w.Write(append(doc, '\n'))
	return err
}

// summary is what a line for a person shows of an event.
type summary struct {
	Time  time.Time `json:"@timestamp"`
	Event struct {
		Dataset string
		Reason  string
	}
	Source, Destination struct {
		IP   string
		Port json.Number
	}
	Rule    struct{ Name string }
	Message string
	DNS     struct{ Question struct{ Name string } }
	URL     struct{ Original, Full, Path string }
	TLS     struct {
		Client struct {
			ServerName string `json:"server_name"`
		}
	}
	File    struct{ Name string }
	Decoder struct {
		Alert struct{ Title, Severity string }
	}
	Network struct{ Transport, Protocol string }
}

func (s summary) what() string {
	for _, text := range []string{
		s.Decoder.Alert.Title, s.Rule.Name, s.DNS.Question.Name, s.TLS.Client.ServerName,
		s.URL.Full, s.URL.Original, s.URL.Path, s.File.Name, s.Message, s.Event.Reason, s.Network.Protocol,
	} {
		if text != "" {
			return text
		}
	}
	return s.Network.Transport
}

func endpoint(ip, port string) string {
	switch {
	case ip == "":
		return "-"
	case port == "" || port == "0":
		return ip
	case strings.Contains(ip, ":"):
		return "[" + ip + "]:" + port
	}
	return ip + ":" + port
}

func printEvent(w io.Writer, doc json.RawMessage) error {
	var s summary
	if err := json.Unmarshal(doc, &s); err != nil {
		return printLine(w, doc) // show it as it is
	}
	_, err := fmt.Fprintf(w, "%s  %-20s %s → %s  %s\n", local(s.Time), clean(s.Event.Dataset),
		clean(endpoint(s.Source.IP, s.Source.Port.String())), clean(endpoint(s.Destination.IP, s.Destination.Port.String())), clean(s.what()))
	return err
}

func number[N ~int | ~int32 | ~int64 | ~uint64](n N) string { return strconv.FormatInt(int64(n), 10) }

// counted is a number with what it counts: "1 capture", "2 captures".
func counted[N ~int | ~int64 | ~uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(n) + " " + what + "s"
}

func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%.1fd", d.Hours()/24)
}
