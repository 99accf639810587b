"""What a program may do wrong, by the record's text."""
import json
import os
import signal
import sys

held = []
for line in sys.stdin:
    record = json.loads(line)
    seq, what = record["seq"], record.get("event", record.get("text", "bytes"))

    def answer(**fields):
        print(json.dumps({"seq": seq} | fields), flush=True)

    if what == "two":
        answer(emit={"n": 1})
        answer(emit={"n": 2}, key="other")
        answer(done=True)
    elif what == "crash":
        os._exit(3)
    elif what == "garbage":
        print("this is no answer", flush=True)
    elif what == "array":
        answer(emit=[1])
    elif what == "neither":
        answer()
    elif what == "throttled":
        answer(error="wait", **{"class": "throttled", "code": "busy", "after": 2.5})
    elif what == "odd code":
        answer(error="x", **{"class": "permanent", "code": "Not A Code"})
    elif what == "hang":
        pass
    elif what == "hold":  # answered behind the next
        held.append(seq)
    elif what == "release":
        answer(done=True)
        for seq in held:
            answer(emit={"late": True})
            answer(done=True)
        held = []
    elif what == "stop":  # everything, for good
        os.kill(os.getpid(), signal.SIGSTOP)
    elif isinstance(what, str) and what.startswith("once "):  # the file makes it once
        if not os.path.exists(what[5:]):
            open(what[5:], "w").close()
            os._exit(3)
        answer(emit={"was": what})
        answer(done=True)
    elif isinstance(what, str) and what.startswith("down "):  # while the file is there
        if os.path.exists(what[5:]):
            os.kill(os.getpid(), signal.SIGSTOP)
        answer(done=True)
    elif what == "flood":
        for n in range(200000):
            print("x" * 50, n, file=sys.stderr)
        answer(done=True)
    elif what == "say":
        print("hello from the program", file=sys.stderr, flush=True)
        answer(done=True)
    else:
        answer(emit={"was": what})
        answer(done=True)
