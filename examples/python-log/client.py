#!/usr/bin/env python3
"""A client of one's own that speaks to the log directly, with kafka-python.

It reads `json_ingest`, writes what it makes of each record to `shouted`, and
keeps the contract of docs/reference/clients.md: an offset is committed only
after what was made of the record is acknowledged; ids come from origins; what
cannot be handled goes to `dead_shout`, whole, with the reason; what a person
sends back comes by way of `resend`.

    BROKERS=127.0.0.1:9092 USER_NAME=decoder PASSWORD=... python3 client.py
"""
import base64
import hashlib
import json
import os
import signal
import struct
import time

from kafka import KafkaConsumer, KafkaProducer

NAME = "shout"
INPUT, OUTPUT, DEAD, RESEND = "json_ingest", "shouted", "dead_" + NAME, "resend"
ALPHABET = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghjkmnpqrstvwxyz")


def made_id(origin, kind, index):
    """The id of the index-th document of that kind made from the origin."""
    h = hashlib.sha256()
    for text in (origin.encode(), kind.encode()):
        h.update(struct.pack(">Q", len(text)) + text)
    h.update(struct.pack(">Q", index))
    return base64.b32encode(h.digest()[:16]).decode().rstrip("=").translate(ALPHABET)


def last(headers, name):
    """The value of the last header of that name, or None."""
    return next((value for key, value in reversed(headers) if key == name), None)


def handle(record):
    document = json.loads(record["value"])
    document["message"] = document["message"].upper()
    return [document]


def unwrapped(record):
    """The record as this client first saw it, or None if it is not for it."""
    headers = list(record.headers)
    if record.topic != RESEND:
        origin = last(headers, "decoder-origin")
        # A record without an origin is named by where it lies. (The program
        # takes the topic's id there, which kafka-python does not tell.)
        origin = origin.decode() if origin else f"{NAME}:{record.topic}-{record.partition}:{record.offset}"
        return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key,
                "value": record.value, "headers": headers, "origin": origin, "history": []}
    border = max((i for i, (key, _) in enumerate(headers) if key == "decoder-resend"), default=None)
    if border is None or last(headers, "client") != NAME.encode():
        return None
    own, added = headers[:border], dict(headers[border:])
    return {"topic": added["origin_topic"].decode(), "partition": int(added["origin_partition"]),
            "offset": int(added["origin_offset"]), "key": added.get("key"), "value": record.value, "headers": own,
            "origin": added["origin"].decode(), "history": json.loads(added.get("history", b"[]"))}


def dead_headers(record, code, error):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    added = {"decoder-dead": "1", "stage": NAME, "error": str(error)[:8000], "error_code": code, "attempts": "1",
             "origin_topic": record["topic"], "origin_partition": str(record["partition"]),
             "origin_offset": str(record["offset"]), "first_failed_at": now, "last_failed_at": now,
             "version": "example", "origin": record["origin"]}
    if record["history"]:
        added["history"] = json.dumps(record["history"])
    return record["headers"] + [(key, value.encode()) for key, value in added.items()]


def process(record, send):
    try:
        documents = handle(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [send(DEAD, key=record["key"], value=record["value"], headers=dead_headers(record, "rejected", error))]
    sent = []
    for i, document in enumerate(documents):
        headers = [("decoder-origin", record["origin"].encode()), ("decoder-id", made_id(record["origin"], NAME, i).encode())]
        sent.append(send(OUTPUT, key=record["key"], value=json.dumps(document).encode(), headers=headers))
    return sent


def main():
    common = {"bootstrap_servers": os.environ["BROKERS"].split(",")}
    if os.environ.get("USER_NAME"):
        common |= {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256",
                   "sasl_plain_username": os.environ["USER_NAME"], "sasl_plain_password": os.environ["PASSWORD"]}
    consumer = KafkaConsumer(INPUT, RESEND, group_id="decoder-" + NAME, enable_auto_commit=False,
                             auto_offset_reset="earliest", **common)
    producer = KafkaProducer(acks="all", linger_ms=5, max_request_size=66 << 20, **common)
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    while running:
        sent = []
        for records in consumer.poll(timeout_ms=500, max_records=500).values():
            for record in records:
                if (own := unwrapped(record)) is not None:
                    sent += process(own, producer.send)
        for future in sent:
            future.get(timeout=60)  # raises unless the log has it; the next start begins again
        if sent:
            consumer.commit()
    consumer.close()
    producer.close()


if __name__ == "__main__":
    main()
