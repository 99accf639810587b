// Package rules owns the rules the engine loads: where they come from, which
// of them are on, and that only rules which load are used. suricata-update
// fetches and merges; this package tests the result, puts it in place, and has
// the running engine load it. It does not run the engine.
//
// Its folder:
//
//	local/           rule files of the user's own
//	enable.conf      lists of suricata-update, the user's and Enable's and Disable's
//	disable.conf
//	modify.conf
//	threshold.config suppressions and limits, of Suricata; optional
//	active/          what engines load, replaced as a whole
//	fetched/         suricata-update's own folder
//
// Without a fetched set the starter rules in the binary are used, with those
// in local/. The rule of the self-test is always there. Ids 1900000 to 1900099
// are the program's own.
package rules
