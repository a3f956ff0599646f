"""Makes records one by one from many callers, as a program on pyairtable does.

    python creates.py --url … --token … --base … --table … --callers 50 --records 1000 --seconds 60

Each caller goes on to the next record, whatever it was told of the last one. Ends after so
many records, or after so many seconds. Prints one JSON object: what was created and how
long it took, what callers were told instead, and how long calls took.

With --once the client sends nothing again by itself, as it must not where each record is
to exist once at the most; a caller rests after an error, and goes on until so many records
were acknowledged.
"""

import argparse
import collections
import itertools
import json
import threading
import time

from pyairtable import Api


def main():
    p = argparse.ArgumentParser()
    for name in ("url", "token", "base", "table"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--prefix", default="r")
    p.add_argument("--callers", type=int, default=50)
    p.add_argument("--records", type=int, default=1000)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--once", action="store_true")
    a = p.parse_args()

    lock = threading.Lock()
    todo = itertools.count() if a.once else iter(range(a.records))
    created, errors, took = {}, collections.Counter(), []
    began = time.monotonic()
    last = began

    def caller():
        nonlocal last
        # An Api of its own: its session is a connection of its own.
        retries = {"retry_strategy": None} if a.once else {}
        table = Api(a.token, endpoint_url=a.url, timeout=(5, 120), **retries).table(a.base, a.table)
        while time.monotonic() - began < a.seconds:
            with lock:
                n = next(todo, None) if len(created) < a.records else None
            if n is None:
                return
            name, start = f"{a.prefix}{n:05}", time.monotonic()
            try:
                made = table.create({"Name": name, "Qty": n})
            except Exception as e:  # whatever a caller is told counts
                with lock:
                    errors[kind(e)] += 1
                if a.once:
                    time.sleep(0.5)
                continue
            with lock:
                last = time.monotonic()
                took.append(last - start)
                created[name] = made["id"]

    threads = [threading.Thread(target=caller) for _ in range(a.callers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took.sort()
    print(json.dumps({
        "created": created, "errors": errors, "elapsed": time.monotonic() - began, "until_last": last - began,
        "median": took[len(took) // 2] if took else 0, "slowest": took[-1] if took else 0,
    }))


def kind(e):
    response = getattr(e, "response", None)
    text = f"{response.status_code} " if response is not None else ""
    return text + type(e).__name__ + ("" if "429" not in str(e) else " (429)")


main()
