package api

import "net/http"

// Prefix is where the routes of the API lie.
const Prefix = "/api/v1"

// routes is everything the API can be asked and told.
func routes() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{get, "/session", "Who is signed in", signedIn, answer((*Server).session)},
		{post, "/session", "Sign in; sets the cookie", open, signInEndpoint()},
		{del, "/session", "Sign out", signedIn, signOutEndpoint()},
		{post, "/password", "Set a password; ends the user's other sessions", signedIn, answer((*Server).setPassword)},

		{get, "/alerts", "One page of the inbox: alert groups, newest first", signedIn, answer((*Server).alerts)},
		{post, "/alerts/changes", "Archive, escalate, reopen, star, unstar or note alert groups", signedIn, answer((*Server).changeAlerts)},
		{post, "/alerts/rebuild", "Empty the inbox and build it again from the log", signedIn, answer((*Server).rebuildInbox)},
		{get, "/alerts/{group}", "An alert group with its checks, evidence and history", signedIn, answer((*Server).alert)},

		{get, "/search", "One page of events, newest first", signedIn, answer((*Server).search)},
		{get, "/search/stream", "Events, newest first, one a line", signedIn, stream((*Server).searchStream)},
		{get, "/search/count", "The number of events that match", signedIn, answer((*Server).count)},
		{get, "/search/facet", "The most frequent values of a field", signedIn, answer((*Server).facet)},
		{get, "/search/histogram", "Events by steps of time", signedIn, answer((*Server).histogram)},
		{get, "/search/fields", "The fields that matching events have", signedIn, answer((*Server).fieldNames)},

		{get, "/stats", "Is anything wrong: events by type, alerts by severity, sensors, clients", signedIn, answer((*Server).stats)},
		{get, "/empty", "Why a page shows nothing", signedIn, answer((*Server).empty)},
		{get, "/live", "Server-sent events: inbox, health", signedIn, liveEndpoint()},

		{get, "/topics", "The topics of the log", signedIn, answer((*Server).topics)},
		{get, "/topics/{topic}/tail", "The records of a topic, one a line", signedIn, stream((*Server).tail)},
		{get, "/groups", "The consumer groups of the log, with their lag", signedIn, answer((*Server).groups)},
		{get, "/deadletters", "Records that clients could not handle", signedIn, answer((*Server).deadLetters)},
		{get, "/deadletters/{topic}/{partition}/{offset}", "One dead letter with its bytes", signedIn, answer((*Server).deadLetter)},
		{post, "/deadletters/resend", "Send dead letters back to their client", signedIn, answer((*Server).resend)},
		{post, "/deadletters/discard", "Discard dead letters", signedIn, answer((*Server).discard)},
		{post, "/deadletters/try", "Run a dead letter through its stage without writing anything", signedIn, answer((*Server).tryLetter)},
		{post, "/deadletters/edit", "Send a dead letter back with another value", signedIn, answer((*Server).editLetter)},

		{get, "/reruns", "Stages run again over what the log holds, newest first", signedIn, answer((*Server).reruns)},
		{post, "/reruns", "Run a stage again over what the log holds", signedIn, answer((*Server).beginRerun)},
		{get, "/reruns/{id}", "A rerun and how far it has come", signedIn, answer((*Server).rerun)},
		{get, "/reruns/{id}/difference", "What a rerun made otherwise than the live run", signedIn, stream((*Server).compareRerun)},
		{post, "/reruns/{id}/continue", "Go on with a rerun that was interrupted", signedIn, answer((*Server).continueRerun)},
		{del, "/reruns/{id}", "Cancel a rerun", signedIn, answer((*Server).cancelRerun)},

		{get, "/replays", "The replay jobs, newest first", signedIn, answer((*Server).replays)},
		{post, "/replays", "Replay captures", local, answer((*Server).submitReplay)},
		{get, "/replays/{id}", "A replay job", signedIn, answer((*Server).replay)},
		{get, "/replays/{id}/watch", "News of a replay job until it has ended, one a line", signedIn, stream((*Server).watchReplay)},
		{del, "/replays/{id}", "Cancel a replay job", signedIn, answer((*Server).cancelReplay)},

		{get, "/rules", "The detection rules", signedIn, answer((*Server).rules)},
		{post, "/rules/update", "Fetch, test and load the rules; progress, one line each", signedIn, stream((*Server).updateRules)},
		{post, "/rules/changes", "Enable or disable rules", signedIn, answer((*Server).changeRules)},

		{get, "/sensors", "What watches", signedIn, answer((*Server).sensors)},
		{get, "/services", "How the outside services that mail is checked with stand, quotas included", signedIn, answer((*Server).services)},
		{get, "/notify", "Who is told of alerts, and how that stands", signedIn, answer((*Server).destinations)},
		{post, "/notify/test", "Send a trial message to a destination", signedIn, answer((*Server).testDestination)},
		{get, "/health", "The state of the instance and its parts", signedIn, answer((*Server).health)},
		{post, "/selftest", "A harmless exchange that a rule must alert on; progress, one line each", signedIn, stream((*Server).selfTest)},
		{get, "/config", "The configuration in force, secrets redacted", signedIn, answer((*Server).config)},
		{get, "/version", "What is running", signedIn, answer((*Server).version)},
		{get, "/openapi.json", "This API as an OpenAPI document", open, openAPIEndpoint()},
	}
}
