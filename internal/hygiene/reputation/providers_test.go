package reputation

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/fault"
)

const key = "k3y-that-must-not-leak"

var secret = config.NewSecret(key)

// reply is what a test's service answers.
type reply struct {
	status int
	header map[string]string
	body   string
}

// serve answers every request alike and keeps the last.
func serve(t *testing.T, r reply) (base string, last func() (*http.Request, string)) {
	var req *http.Request
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		req, body = q, string(b)
		for k, v := range r.header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(r.status)
		io.WriteString(w, r.body)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() (*http.Request, string) { return req, body }
}

// TestProvidersReadWhatTheirServicesAnswer uses the shapes the services
// document, errors included; most errors of abuse.ch come with status 200.
func TestProvidersReadWhatTheirServicesAnswer(t *testing.T) {
	abuse := func(base string) Provider { return AbuseIPDB(base, secret, 0) }
	haus := func(base string) Provider { return URLhaus(base, secret) }
	fox := func(base string) Provider { return ThreatFox(base, secret, 0) }
	vt := func(base string) Provider { return VirusTotal(base, secret, 0) }
	gsb := func(base string) Provider { return SafeBrowsing(base, secret) }
	rspamd := func(base string) Provider {
		return Rspamd(base, secret, func(_ context.Context, place string) ([]byte, error) {
			return []byte("Subject: " + place + "\n\n"), nil
		})
	}
	generic := func(base string) Provider {
		p, err := HTTP(HTTPConfig{
			Name: "own", Kinds: []Kind{Domain, URL}, URL: base + "/v1/{value}?q={url}", Headers: map[string]string{"Authorization": "Bearer {key}"},
			Key: secret, Error: "/success", ErrorOK: []string{"true"}, Score: "/result/0/risk", From: 75, Detail: "/result/0/why",
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ok := func(body string) reply { return reply{status: 200, body: body} }
	for _, tt := range []struct {
		name     string
		provider func(string) Provider
		kind     Kind
		value    string
		reply    reply
		verdict  string
		class    fault.Class
		code     string
	}{
		{"abuseipdb bad", abuse, IP, "192.0.2.1", ok(`{"data":{"ipAddress":"192.0.2.1","abuseConfidenceScore":100,"totalReports":12,"isWhitelisted":null}}`), Bad, 0, ""},
		{"abuseipdb number as string", abuse, IP, "192.0.2.1", ok(`{"data":{"abuseConfidenceScore":"100","totalReports":"12"}}`), Bad, 0, ""},
		{"abuseipdb never reported", abuse, IP, "192.0.2.1", ok(`{"data":{"abuseConfidenceScore":0,"totalReports":0}}`), Unknown, 0, ""},
		{"abuseipdb rate", abuse, IP, "192.0.2.1", reply{429, map[string]string{"Retry-After": "29241", "X-RateLimit-Remaining": "0"}, `{"errors":[{"detail":"Daily rate limit of 1000 requests exceeded","status":429}]}`}, "", fault.Throttled, CodeThrottled},
		{"abuseipdb key", abuse, IP, "192.0.2.1", reply{401, nil, `{"errors":[{"detail":"Authentication failed.","status":401}]}`}, "", fault.Permanent, CodeRefused},
		{"abuseipdb value", abuse, IP, "x", reply{422, nil, `{"errors":[{"detail":"The ip address must be a valid IPv4 or IPv6 address","status":422}]}`}, "", fault.Permanent, CodeService},
		{"abuseipdb proxy's page", abuse, IP, "192.0.2.1", ok(`<html>sign in</html>`), "", fault.Retry, CodeService},
		{"urlhaus link online", haus, URL, "http://x.example/a", ok(`{"query_status":"ok","id":"1","url_status":"online","threat":"malware_download","blacklists":{"spamhaus_dbl":"abused_legit_malware","surbl":"not listed"}}`), Bad, 0, ""},
		{"urlhaus nothing", haus, URL, "http://x.example/a", ok(`{"query_status":"no_results"}`), Unknown, 0, ""},
		{"urlhaus host online", haus, Domain, "x.example", ok(`{"query_status":"ok","url_count":"2","urls":[{"url_status":"offline"},{"url_status":"online","threat":"malware_download"}]}`), Bad, 0, ""},
		{"urlhaus host of the past", haus, Domain, "x.example", ok(`{"query_status":"ok","urls":[{"url_status":"offline"}]}`), Unknown, 0, ""},
		{"urlhaus file", haus, SHA256, "00", ok(`{"query_status":"ok","signature":"Mozi"}`), Bad, 0, ""},
		{"urlhaus key as 200", haus, URL, "http://x.example/a", ok(`{"query_status":"unknown_auth_key"}`), "", fault.Permanent, CodeRefused},
		{"urlhaus odd value as 200", haus, URL, "x", ok(`{"query_status":"invalid_url"}`), Unknown, 0, ""},
		{"urlhaus trouble as 200", haus, URL, "http://x.example/a", ok(`{"query_status":"http_post_expected"}`), "", fault.Retry, CodeService},
		{"threatfox hit", fox, Domain, "x.example", ok(`{"query_status":"ok","data":[{"ioc":"x.example","threat_type":"botnet_cc","malware_printable":"Dridex","confidence_level":75}]}`), Bad, 0, ""},
		{"threatfox doubtful", fox, Domain, "x.example", ok(`{"query_status":"ok","data":[{"confidence_level":"25"}]}`), Unknown, 0, ""},
		{"threatfox nothing", fox, Domain, "x.example", ok(`{"query_status":"no_result","data":"Your search did not yield any results"}`), Unknown, 0, ""},
		{"virustotal hit", vt, SHA256, "00", ok(`{"data":{"attributes":{"last_analysis_stats":{"harmless":0,"malicious":40,"suspicious":1,"undetected":20}}}}`), Bad, 0, ""},
		{"virustotal clean", vt, Domain, "x.example", ok(`{"data":{"attributes":{"last_analysis_stats":{"harmless":60,"malicious":1,"undetected":20}}}}`), Clean, 0, ""},
		{"virustotal unknown", vt, SHA256, "00", reply{404, nil, `{"error":{"code":"NotFoundError","message":"not found"}}`}, Unknown, 0, ""},
		{"virustotal quota", vt, SHA256, "00", reply{429, nil, `{"error":{"code":"QuotaExceededError","message":"Quota exceeded"}}`}, "", fault.Throttled, CodeThrottled},
		{"safe browsing hit", gsb, URL, "http://x.example/", ok(`{"threats":[{"url":"x.example/","threatTypes":["SOCIAL_ENGINEERING"]}],"cacheDuration":"300s"}`), Bad, 0, ""},
		{"safe browsing nothing", gsb, URL, "http://x.example/", ok(`{"cacheDuration":"300s"}`), Unknown, 0, ""},
		{"safe browsing key", gsb, URL, "http://x.example/", reply{400, nil, `{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}`}, "", fault.Permanent, CodeRefused},
		{"rspamd reject", rspamd, Message, "email_ingest/0/1", ok(`{"is_skipped":false,"score":17.2,"required_score":15.0,"action":"reject","symbols":{"PHISHING":{"name":"PHISHING","score":4.0}}}`), Bad, 0, ""},
		{"rspamd fine", rspamd, Message, "email_ingest/0/1", ok(`{"score":0.2,"required_score":15.0,"action":"no action","symbols":{}}`), Clean, 0, ""},
		{"rspamd busy", rspamd, Message, "email_ingest/0/1", ok(`{"score":0,"required_score":15,"action":"soft reject"}`), Unknown, 0, ""},
		{"rspamd error", rspamd, Message, "email_ingest/0/1", ok(`{"error":"cannot parse"}`), "", fault.Retry, CodeService},
		{"rspamd password", rspamd, Message, "email_ingest/0/1", reply{403, nil, "Unauthorized"}, "", fault.Permanent, CodeRefused},
		{"generic bad", generic, Domain, "x.example", ok(`{"success":true,"result":[{"risk":"90","why":"new"}]}`), Bad, 0, ""},
		{"generic clean", generic, Domain, "x.example", ok(`{"success":true,"result":[{"risk":10}]}`), Clean, 0, ""},
		{"generic without a score", generic, Domain, "x.example", ok(`{"success":true,"result":[]}`), Unknown, 0, ""},
		{"generic error as 200", generic, Domain, "x.example", ok(`{"success":false,"message":"Invalid key"}`), "", fault.Retry, CodeService},
		{"generic server's trouble", generic, Domain, "x.example", reply{502, nil, "bad gateway"}, "", fault.Retry, CodeService},
		{"generic redirect", generic, Domain, "x.example", reply{302, map[string]string{"Location": "http://127.0.0.1:1/"}, ""}, "", fault.Retry, CodeService},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base, last := serve(t, tt.reply)
			r, err := tt.provider(base).Ask(t.Context(), tt.kind, tt.value)
			if tt.verdict != "" {
				if err != nil || r.Verdict != tt.verdict {
					t.Errorf("%+v, %v; want %s", r, err, tt.verdict)
				}
			} else if f := fault.Of(err); f.Class != tt.class || f.Code != tt.code {
				t.Errorf("error %v is %v %s, want %v %s", err, f.Class, f.Code, tt.class, tt.code)
			} else if strings.Contains(err.Error(), key) {
				t.Errorf("the error holds the key: %v", err)
			}
			if q, body := last(); !strings.Contains(q.URL.String()+body+headers(q), key) {
				t.Error("the request carries no key")
			}
		})
	}
}

func headers(q *http.Request) string {
	var b strings.Builder
	q.Header.Write(&b)
	return b.String()
}

func TestAServiceThatIsNotThereIsARetryWithoutTheKey(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	l.Close()
	_, err = SafeBrowsing(base, secret).Ask(t.Context(), URL, "http://x.example/")
	if f := fault.Of(err); f.Class != fault.Retry || strings.Contains(err.Error(), key) {
		t.Errorf("%v", err)
	}
}

func TestGenericRequestsCannotBeBrokenByValues(t *testing.T) {
	base, last := serve(t, reply{200, nil, `{}`})
	p, err := HTTP(HTTPConfig{
		Name: "x", Kinds: []Kind{URL}, Method: "POST", URL: base + "/a/{url}?u={url}", Body: `{"u":"{url}"}`,
		Headers: map[string]string{"X-Value": "{url}"}, Score: "/s",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Ask(t.Context(), URL, `http://x.example/../?a="b"&c=d`); err != nil {
		t.Fatal(err)
	}
	q, body := last()
	if q.URL.Query().Get("u") != `http://x.example/../?a="b"&c=d` || body != `{"u":"http://x.example/../?a=\"b\"\u0026c=d"}` {
		t.Errorf("request %s, body %s", q.URL, body)
	}
	if _, err := p.Ask(t.Context(), URL, "http://x.example/\r\nX-Evil: 1"); err == nil {
		t.Error("a line end went into a header")
	}
	for _, c := range []HTTPConfig{{}, {Name: "x", Kinds: []Kind{IP}, URL: "ftp://x", Score: "/s"}, {Name: "x", Kinds: []Kind{IP}, URL: "https://x", Score: "s"}} {
		if _, err := HTTP(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

type fakeDNS map[string]any

func (f fakeDNS) LookupHost(_ context.Context, host string) ([]string, error) {
	switch v := f[host].(type) {
	case []string:
		return v, nil
	case error:
		return nil, v
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestListsOverDNS(t *testing.T) {
	dns := fakeDNS{
		"1.2.0.192." + key + ".zen.dq.spamhaus.net.":                                                       []string{"127.0.0.4", "127.0.0.10"},
		"2.2.0.192." + key + ".zen.dq.spamhaus.net.":                                                       []string{"127.0.0.11"},
		"3.2.0.192." + key + ".zen.dq.spamhaus.net.":                                                       []string{"127.255.255.254"},
		"4.2.0.192." + key + ".zen.dq.spamhaus.net.":                                                       []string{"198.51.100.1"},
		"5.2.0.192." + key + ".zen.dq.spamhaus.net.":                                                       &net.DNSError{Err: "timeout", Name: key, IsTimeout: true},
		"x.example." + key + ".dbl.dq.spamhaus.net.":                                                       []string{"127.0.1.4"},
		"192.0.2.1." + key + ".dbl.dq.spamhaus.net.":                                                       []string{"127.0.1.255"},
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2." + key + ".zen.dq.spamhaus.net.": []string{"127.0.0.2"},
	}
	p := SpamhausDQS(secret, dns)
	for _, tt := range []struct {
		p       Provider
		kind    Kind
		value   string
		verdict string
		code    string
	}{
		{p[0], IP, "192.0.2.1", Bad, ""},
		{p[0], IP, "192.0.2.2", Unknown, ""}, // policy, not badness
		{p[0], IP, "192.0.2.3", "", CodeRefused},
		{p[0], IP, "192.0.2.4", "", CodeService},
		{p[0], IP, "192.0.2.5", "", CodeService},
		{p[0], IP, "192.0.2.6", Unknown, ""},
		{p[0], IP, "2001:db8::1", Bad, ""},
		{p[1], Domain, "x.example", Bad, ""},
		{p[1], Domain, "192.0.2.1", "", CodeService},
	} {
		r, err := tt.p.Ask(t.Context(), tt.kind, tt.value)
		if tt.code == "" && (err != nil || r.Verdict != tt.verdict) {
			t.Errorf("%s: %+v, %v", tt.value, r, err)
		}
		if tt.code != "" && (err == nil || fault.Of(err).Code != tt.code || strings.Contains(err.Error(), key)) {
			t.Errorf("%s: %v, want %s", tt.value, err, tt.code)
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	if d := retryAfter("120"); d != 2*time.Minute {
		t.Error(d)
	}
	if d := retryAfter(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)); d < 59*time.Minute || d > time.Hour {
		t.Error(d)
	}
	if d := retryAfter("soon"); d != time.Minute {
		t.Error(d)
	}
}

var errDown = fault.NewRetry(CodeService, errors.New("down"))
