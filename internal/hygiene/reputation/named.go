package reputation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/fault"
)

// service is a named provider: how to ask and how to read.
type service struct {
	name   string
	kinds  []Kind
	client *http.Client
	ask    func(k Kind, value string) (*http.Request, error)
	read   func(k Kind, a answer) (Result, error)
}

func (s *service) Name() string  { return s.name }
func (s *service) Kinds() []Kind { return s.kinds }

func (s *service) Ask(ctx context.Context, k Kind, value string) (Result, error) {
	r, err := s.ask(k, value)
	if err != nil {
		return Result{}, fault.NewPermanent(CodeService, errors.New("the request cannot be made of this value"))
	}
	a, err := do(ctx, s.client, r)
	if err != nil {
		return Result{}, err
	}
	return s.read(k, a)
}

// at puts a path and query behind a base address.
func at(base, path string, query url.Values) string {
	s := strings.TrimSuffix(base, "/") + path
	if len(query) > 0 {
		s += "?" + query.Encode()
	}
	return s
}

// or returns the address to use: the service's own unless one is given.
func or(base, own string) string {
	if base == "" {
		return own
	}
	return base
}

// AbuseIPDB asks AbuseIPDB's API v2 for reports of the last 90 days. least is
// the abuse confidence from which an address is bad; 0 takes 50.
func AbuseIPDB(base string, key config.Secret, least int) Provider {
	base, least = or(base, "https://api.abuseipdb.com"), max(least, 1)
	if least == 1 {
		least = 50
	}
	return &service{
		name: "abuseipdb", kinds: []Kind{IP}, client: newHTTPClient(),
		ask: func(_ Kind, v string) (*http.Request, error) {
			r, err := http.NewRequest(http.MethodGet, at(base, "/api/v2/check", url.Values{"ipAddress": {v}, "maxAgeInDays": {"90"}}), nil)
			if err == nil {
				r.Header.Set("Key", key.Reveal())
				r.Header.Set("Accept", "application/json")
			}
			return r, err
		},
		read: func(_ Kind, a answer) (Result, error) {
			if a.status != http.StatusOK {
				return Result{}, a.refusal()
			}
			var v struct {
				Data *struct {
					Score   number `json:"abuseConfidenceScore"`
					Reports number `json:"totalReports"`
					White   bool   `json:"isWhitelisted"`
				} `json:"data"`
			}
			if err := a.decode(&v); err != nil {
				return Result{}, err
			}
			switch {
			case v.Data == nil:
				return Result{}, fault.NewRetry(CodeService, errors.New("the answer holds no data"))
			case v.Data.White:
				return Result{Verdict: Clean}, nil
			case float64(v.Data.Score) >= float64(least):
				return Result{Verdict: Bad, Score: float64(v.Data.Score), Detail: fmt.Sprintf("confidence %v, %v reports", v.Data.Score, v.Data.Reports)}, nil
			case v.Data.Reports == 0:
				return Result{Verdict: Unknown}, nil
			}
			return Result{Verdict: Clean, Detail: fmt.Sprintf("confidence %v", v.Data.Score)}, nil
		},
	}
}

// URLhaus asks abuse.ch URLhaus for links, hosts and files. A host counts
// only while a link on it is alive: good hosts carry a bad file at times.
func URLhaus(base string, key config.Secret) Provider {
	base = or(base, "https://urlhaus-api.abuse.ch")
	return &service{
		name: "urlhaus", kinds: []Kind{URL, Domain, IP, SHA256}, client: newHTTPClient(),
		ask: func(k Kind, v string) (*http.Request, error) {
			path, field := "/v1/host/", "host"
			switch k {
			case URL:
				path, field = "/v1/url/", "url"
			case SHA256:
				path, field = "/v1/payload/", "sha256_hash"
			}
			return form(base+path, key, url.Values{field: {v}})
		},
		read: func(k Kind, a answer) (Result, error) {
			if a.status != http.StatusOK {
				return Result{}, a.refusal()
			}
			var v struct {
				Status string `json:"query_status"`
				URL    string `json:"url_status"`
				Threat string `json:"threat"`
				Sig    string `json:"signature"`
				URLs   []struct {
					Status string `json:"url_status"`
					Threat string `json:"threat"`
				} `json:"urls"`
			}
			if err := a.decode(&v); err != nil {
				return Result{}, err
			}
			if r, done, err := queryStatus(v.Status); done {
				return r, err
			}
			switch k {
			case URL:
				score := 100.0
				if v.URL == "offline" {
					score = 60
				}
				return Result{Verdict: Bad, Score: score, Detail: v.Threat + " " + v.URL}, nil
			case SHA256:
				return Result{Verdict: Bad, Detail: v.Sig}, nil
			}
			for _, u := range v.URLs {
				if u.Status == "online" {
					return Result{Verdict: Bad, Score: 80, Detail: u.Threat + " online"}, nil
				}
			}
			return Result{Verdict: Unknown, Detail: "seen before, nothing online"}, nil
		},
	}
}

// queryStatus reads abuse.ch's query_status: errors come as status 200.
func queryStatus(s string) (Result, bool, error) {
	switch s {
	case "ok":
		return Result{}, false, nil
	case "no_results", "no_result", "hash_not_found", "file_not_found":
		return Result{Verdict: Unknown}, true, nil
	case "unauthorized", "unknown_auth_key", "user_blacklisted", "illegal_auth_key":
		return Result{}, true, fault.NewPermanent(CodeRefused, errors.New("the service refuses the key"))
	case "":
		return Result{}, true, fault.NewRetry(CodeService, errors.New("the answer has no query_status"))
	}
	if strings.HasPrefix(s, "invalid") || strings.HasPrefix(s, "illegal") || strings.HasPrefix(s, "no_") {
		return Result{Verdict: Unknown}, true, nil // a value the service has no notion of
	}
	return Result{}, true, fault.NewRetry(CodeService, errors.New("the service reports an error of its own"))
}

func form(u string, key config.Secret, v url.Values) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, u, strings.NewReader(v.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Auth-Key", key.Reveal())
	}
	return r, err
}

// ThreatFox asks abuse.ch ThreatFox. least is the confidence from which an
// indicator counts; 0 takes 50.
func ThreatFox(base string, key config.Secret, least int) Provider {
	base = or(base, "https://threatfox-api.abuse.ch")
	if least <= 0 {
		least = 50
	}
	return &service{
		name: "threatfox", kinds: []Kind{IP, Domain, URL, SHA256}, client: newHTTPClient(),
		ask: func(k Kind, v string) (*http.Request, error) {
			q := map[string]any{"query": "search_ioc", "search_term": v, "exact_match": k != IP}
			if k == SHA256 {
				q = map[string]any{"query": "search_hash", "hash": v}
			}
			b, err := json.Marshal(q)
			if err != nil {
				return nil, err
			}
			r, err := http.NewRequest(http.MethodPost, base+"/api/v1/", strings.NewReader(string(b)))
			if err == nil {
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Auth-Key", key.Reveal())
			}
			return r, err
		},
		read: func(_ Kind, a answer) (Result, error) {
			if a.status != http.StatusOK {
				return Result{}, a.refusal()
			}
			var v struct {
				Status string          `json:"query_status"`
				Data   json.RawMessage `json:"data"` // a sentence when nothing is found
			}
			if err := a.decode(&v); err != nil {
				return Result{}, err
			}
			if r, done, err := queryStatus(v.Status); done {
				return r, err
			}
			var list []struct {
				Confidence number `json:"confidence_level"`
				Malware    string `json:"malware_printable"`
				Threat     string `json:"threat_type"`
			}
			if json.Unmarshal(v.Data, &list) != nil {
				return Result{}, fault.NewRetry(CodeService, errors.New("the answer's data is no list"))
			}
			best := Result{Verdict: Unknown}
			for _, e := range list {
				if c := float64(e.Confidence); c >= float64(least) && c > best.Score {
					best = Result{Verdict: Bad, Score: c, Detail: e.Threat + " " + e.Malware}
				}
			}
			return best, nil
		},
	}
}

// VirusTotal asks VirusTotal's API v3. least is how many engines must agree;
// 0 takes 3.
func VirusTotal(base string, key config.Secret, least int) Provider {
	base = or(base, "https://www.virustotal.com")
	if least <= 0 {
		least = 3
	}
	return &service{
		name: "virustotal", kinds: []Kind{IP, Domain, URL, SHA256}, client: newHTTPClient(),
		ask: func(k Kind, v string) (*http.Request, error) {
			path := map[Kind]string{IP: "ip_addresses", Domain: "domains", URL: "urls", SHA256: "files"}[k]
			if k == URL {
				v = base64.RawURLEncoding.EncodeToString([]byte(v))
			}
			r, err := http.NewRequest(http.MethodGet, base+"/api/v3/"+path+"/"+url.PathEscape(v), nil)
			if err == nil {
				r.Header.Set("X-Apikey", key.Reveal())
			}
			return r, err
		},
		read: func(_ Kind, a answer) (Result, error) {
			if a.status == http.StatusNotFound {
				return Result{Verdict: Unknown}, nil
			}
			if a.status != http.StatusOK {
				return Result{}, a.refusal()
			}
			var v struct {
				Data *struct {
					Attributes struct {
						Stats struct {
							Malicious  number `json:"malicious"`
							Suspicious number `json:"suspicious"`
							Harmless   number `json:"harmless"`
							Undetected number `json:"undetected"`
						} `json:"last_analysis_stats"`
					} `json:"attributes"`
				} `json:"data"`
			}
			if err := a.decode(&v); err != nil {
				return Result{}, err
			}
			if v.Data == nil {
				return Result{}, fault.NewRetry(CodeService, errors.New("the answer holds no data"))
			}
			st := v.Data.Attributes.Stats
			all := st.Malicious + st.Suspicious + st.Harmless + st.Undetected
			switch {
			case float64(st.Malicious) >= float64(least):
				return Result{Verdict: Bad, Score: min(100, 50+5*float64(st.Malicious)), Detail: fmt.Sprintf("%v of %v engines", st.Malicious, all)}, nil
			case all == 0:
				return Result{Verdict: Unknown}, nil
			}
			return Result{Verdict: Clean, Detail: fmt.Sprintf("%v of %v engines", st.Malicious, all)}, nil
		},
	}
}

// SafeBrowsing asks Google Safe Browsing v5, urls.search. What it does not
// list it does not know.
func SafeBrowsing(base string, key config.Secret) Provider {
	base = or(base, "https://safebrowsing.googleapis.com")
	return &service{
		name: "safebrowsing", kinds: []Kind{URL}, client: newHTTPClient(),
		ask: func(_ Kind, v string) (*http.Request, error) {
			return http.NewRequest(http.MethodGet, at(base, "/v5/urls:search", url.Values{"urls": {v}, "key": {key.Reveal()}, "alt": {"json"}}), nil)
		},
		read: func(_ Kind, a answer) (Result, error) {
			if a.status == http.StatusBadRequest && strings.Contains(string(a.body), "API_KEY_INVALID") {
				return Result{}, fault.NewPermanent(CodeRefused, errors.New("the service refuses the key"))
			}
			if a.status != http.StatusOK {
				return Result{}, a.refusal()
			}
			var v struct {
				Threats []struct {
					Types []string `json:"threatTypes"`
				} `json:"threats"`
				Cache string `json:"cacheDuration"`
			}
			if err := a.decode(&v); err != nil {
				return Result{}, err
			}
			ttl, _ := time.ParseDuration(v.Cache)
			if len(v.Threats) == 0 {
				return Result{Verdict: Unknown, TTL: ttl}, nil
			}
			var types []string
			for _, t := range v.Threats {
				types = append(types, t.Types...)
			}
			slices.Sort(types)
			return Result{Verdict: Bad, Detail: strings.ToLower(strings.Join(slices.Compact(types), " ")), TTL: ttl}, nil
		},
	}
}

// number is a JSON number, or one written as a string.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	b = []byte(strings.Trim(string(b), `"`))
	if string(b) == "null" || len(b) == 0 {
		return nil
	}
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*n = number(f)
	return nil
}
