package hygiene

import "slices"

// check is one row of the table. Evidence is what it found, "" for nothing;
// it holds text from the message, bounded and never more than a verdict needs.
type check struct {
	name   string
	reason string // how fraud works, or how mail does, that makes it count
	benign string // what would make its finding harmless
	find   func(*facts) string
}

// table returns every local check, in the order of the verdict's list.
func table() []check {
	return slices.Concat(senderChecks(), routeChecks(), contentChecks(), linkChecks(), attachmentChecks(), contextChecks())
}

// askedChecks are made by the engine itself, of what it asked outside.
func askedChecks() []check {
	return []check{
		{name: "domain_new", reason: "Domains are registered for a campaign and thrown away after it.",
			benign: "a new correspondent; every one is new once"},
		{name: "sender_new", reason: "Context: fraud rarely comes from someone known.",
			benign: "a new correspondent; every one is new once"},
		{name: "conversation_known", reason: "An answer to what was sent from here quotes an id nobody else knows.",
			benign: "lowers the score"},
		{name: "reputation_ip", reason: "A service has seen the client's address attack or send spam.",
			benign: "the address has changed hands, or is shared by many senders"},
		{name: "reputation_domain", reason: "A service has seen the domain used for fraud or malware.",
			benign: "the domain was misused once and has been cleaned"},
		{name: "reputation_url", reason: "A service has seen the link lead to fraud or malware.",
			benign: "the page has been cleaned"},
		{name: "reputation_hash", reason: "A service knows the file as malware.",
			benign: "a harmless tool that scanners dislike"},
		{name: "reputation_email", reason: "A service has seen the address used for fraud.",
			benign: "the mailbox was stolen and is its owner's again"},
		{name: "reputation_message", reason: "Another filter, asked for the whole message, marks it.",
			benign: "the other filter errs; its evidence says by what"},
		{name: "indicator", reason: "An indicator feed lists it.",
			benign: "a stale or careless entry of the feed"},
	}
}

// isCheck reports whether there is a check of the name.
func isCheck(name string) bool {
	for _, t := range [][]check{table(), askedChecks()} {
		for _, c := range t {
			if c.name == name {
				return true
			}
		}
	}
	return false
}
