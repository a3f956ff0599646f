"""Runs the steps of a program that uses a real client, and says how each went.

A step prints "ok    CLIENT NAME" or "FAIL  CLIENT NAME: why"; the others run all the same.
"""

import sys

import requests

steps = []


def step(f):
    steps.append((f.__name__, f))
    return f


def equal(got, want, what):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def true(got, what):
    if not got:
        raise AssertionError(what)


def refused(status, kind, f):
    try:
        f()
    except requests.HTTPError as e:
        equal(e.response.status_code, status, "status")
        if kind not in str(e):
            raise AssertionError(f"want {kind} in {e}") from e
        return
    raise AssertionError(f"not refused, want {status} {kind}")


def run(world):
    """Gives every step the world and exits with 1 if one failed."""
    failed = 0
    for name, f in steps:
        try:
            f(world)
            print(f"ok    pyairtable {name}", flush=True)
        except Exception as e:  # the next steps are still worth their report
            failed += 1
            why = " ".join(str(e).split())
            print(f"FAIL  pyairtable {name}: {type(e).__name__}: {why[:600]}", flush=True)
    sys.exit(1 if failed else 0)
