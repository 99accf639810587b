#!/usr/bin/env python3
"""A stage of one's own that runs as a program of `exec`.

One JSON line comes in for each record; any number of lines go out for it, and
a last one that says how it ended. See docs/reference/clients.md.

    stages:
      - name: reverse-dns-length
        from: [events]
        to: events_measured
        exec: {command: [python3, examples/python-exec/stage.py]}
"""
import json
import sys


class Rejected(Exception):
    """The record's own fault: no further attempt will end differently."""


def handle(event):
    """Returns the documents made of one event."""
    query = event.get("dns", {}).get("question", {}).get("name")
    if query is None:
        return []
    if not isinstance(query, str):
        raise Rejected("dns.question.name is no text")
    event["dns"]["question"]["name_length"] = len(query)
    return [event]


def answer(**fields):
    print(json.dumps(fields), flush=True)


for line in sys.stdin:
    record = json.loads(line)
    seq = record["seq"]
    try:
        if not isinstance(record.get("event"), dict):
            raise Rejected("the record is no JSON object")
        for document in handle(record["event"]):
            answer(seq=seq, emit=document)
        answer(seq=seq, done=True)
    except Rejected as error:
        answer(seq=seq, error=str(error), **{"class": "permanent", "code": "rejected"})
    except Exception as error:  # anything else may go better the next time
        print(f"record {record['topic']}/{record['partition']}/{record['offset']}: {error!r}", file=sys.stderr)
        answer(seq=seq, error=repr(error), **{"class": "retry"})
