// Package notify is the sink that tells people of alerts: by mail (RFC 5321,
// RFC 5322), by a webhook, by an incoming webhook of Slack (which Mattermost,
// Rocket.Chat and Discord take too), or by ntfy. It owns what is told, when,
// in which words, and what has been told; it knows nothing of where alerts come
// from.
//
// One Sink is one destination, and a client of the log by itself, so that one
// that is down holds up no other. The log is the buffer: alerts are gathered in
// memory, bounded, and their offsets committed when the destination has taken
// the message that tells of them. What came meanwhile goes into the next
// message. A message is noted before it is sent: who dies between sending and
// committing sends the same one again, under the same id.
//
// All text of an alert is from outside. It is bounded, freed of control
// characters and defanged when a record is read, so that whatever is wrong with
// an alert is that record's fault alone.
package notify
