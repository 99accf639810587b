package inbox

import "github.com/decodersring/decoder/internal/state"

// Schema is the database of the view.
//
// A record of the log is one row of alert or change, at its position; grp is
// what follows from those rows. Of the records with one id, the first on the
// log counts, the others have dup set: when retention removes the first, the
// next takes its place, as it would in a view built anew. doc keeps a document
// for each place where the last alert of a group may be found: retention
// removes the highest offset of a partition last. Groups of a rerun have its id
// in rerun and in their key.
func Schema() state.Schema {
	return state.Schema{
		Name: "inbox", Application: 0x4463496e, Derived: true, // "DcIn"
		Migrations: []string{`
			CREATE TABLE place(
				topic TEXT NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL,
				PRIMARY KEY(topic, part)
			) STRICT, WITHOUT ROWID;
			CREATE TABLE alert(
				topic TEXT NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL,
				id TEXT NOT NULL, g INTEGER NOT NULL, dup INTEGER NOT NULL,
				time INTEGER NOT NULL, severity INTEGER NOT NULL, score REAL NOT NULL, rev INTEGER NOT NULL,
				PRIMARY KEY(topic, part, off)
			) STRICT, WITHOUT ROWID;
			CREATE INDEX alert_id ON alert(id);
			CREATE INDEX alert_g ON alert(g, topic, part, off);
			CREATE TABLE doc(
				g INTEGER NOT NULL, rev INTEGER NOT NULL, topic TEXT NOT NULL, part INTEGER NOT NULL,
				off INTEGER NOT NULL, json BLOB NOT NULL
			) STRICT;
			CREATE UNIQUE INDEX doc_g ON doc(g, rev, topic, part);
			CREATE INDEX doc_off ON doc(topic, part, off);
			CREATE TABLE change(
				topic TEXT NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL,
				id TEXT NOT NULL, g INTEGER NOT NULL, json BLOB NOT NULL,
				PRIMARY KEY(topic, part, off)
			) STRICT, WITHOUT ROWID;
			CREATE INDEX change_id ON change(id);
			CREATE INDEX change_g ON change(g, off, part, topic);
			CREATE TABLE grp(
				g INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
				count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
				severity INTEGER NOT NULL, score REAL NOT NULL, rev INTEGER NOT NULL,
				state TEXT NOT NULL, seen TEXT NOT NULL, starred INTEGER NOT NULL,
				notes INTEGER NOT NULL, changed INTEGER NOT NULL,
				kind TEXT NOT NULL, title TEXT NOT NULL, sensor TEXT NOT NULL, rule TEXT NOT NULL, capture TEXT NOT NULL,
				ends TEXT NOT NULL, words TEXT NOT NULL,
				tail TEXT NOT NULL, doc_rev INTEGER NOT NULL, doc_off INTEGER NOT NULL, doc_topic TEXT NOT NULL, doc_part INTEGER NOT NULL
			) STRICT;
			CREATE INDEX grp_last ON grp(state, last, key) WHERE count > 0;
			CREATE INDEX grp_all ON grp(last, key) WHERE count > 0;
			CREATE INDEX grp_counts ON grp(state, severity) WHERE count > 0;`, `
			ALTER TABLE grp ADD COLUMN rerun TEXT NOT NULL DEFAULT '';
			DROP INDEX grp_last;
			DROP INDEX grp_all;
			DROP INDEX grp_counts;
			CREATE INDEX grp_last ON grp(rerun, state, last, key) WHERE count > 0;
			CREATE INDEX grp_all ON grp(rerun, last, key) WHERE count > 0;
			CREATE INDEX grp_counts ON grp(rerun, state, severity) WHERE count > 0;`},
	}
}
