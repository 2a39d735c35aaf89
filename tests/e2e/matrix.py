#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The matrix: every command that changes a mailbox, against a real Cyrus, and the events that must
come of it, their parameters and their records' facts. `make check-matrix` prints it as a table.

usage: matrix.py [-v] [WORD...]      configurations whose titles hold the words; -v: all rows
       matrix.py --record FOLDER     records native samples of some of them
"""

import concurrent.futures
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback

import commands
import cyrus
import namespaces
import tap
from harness import World
from notifyd import hook, place
from processes import Box, Failed
from stage import SETTLE, Result, Stage

MAIN = "Commands"
FILTERS = "sinks that filter by owner and by mailbox"
VALID = "notifyctl validate accepts every line"
PR_SET_PDEATHSIG = 1


def main_configuration(conf=None, keep=None):
    """The results of the main rows, of the sinks' filters and of `notifyctl validate`. keep: a
    list that gets what happened on the stage."""
    world = World("matrix", conf={**commands.CONF, **(conf or {})})
    try:
        world.cyrus.configure({"notifyd_%s_path" % name: world.box.at("run", name)
                               for name in ("owners", "team")})
        world.start()
        stage = Stage(world.cyrus)
        results = [stage.run(row) for row in commands.main_rows()]
        if keep is not None:
            keep += stage.done
            return results
        return results + [filtered(world, stage), validated(world.box, stage)]
    finally:
        world.close()


def filtered(world, stage):
    """Sinks with filters get what is theirs by the facts, in order."""
    stage.records += stage.journal.new()
    bad = []
    for name, mine in (("local", lambda r: True),
                       ("owners", lambda r: r.owner == commands.JANE),
                       ("team", lambda r: r.mailbox.startswith(("Old/", "shared/")))):
        want = [r.event for r in stage.records if mine(r) and
                not r.name.startswith("ApplePush")]
        path = world.local if name == "local" else world.box.at("run", name)
        subscriber = world.subscribe("matrix", path)
        try:
            subscriber.wait(lambda got, n=len(want): len(got) >= n)
            time.sleep(SETTLE)
        except Failed as e:
            bad.append("%s: %s" % (name, e))
        if not want or subscriber.events != want:
            bad.append("%s: %d events, expected %d" % (name, len(subscriber.events), len(want)))
    return Result(FILTERS, [], bad)


def validated(box, stage):
    """All lines through `notifyctl validate`."""
    ctl = place(box, tap.top("TOP_BUILDDIR"), "notifyctl")
    lines = "".join(r.line + "\n" for r in stage.records)
    r = box.run([ctl, "-C", stage.cyrus.imapd_conf, "validate", "-"], input=lines, check=False)
    return Result(VALID, [], [] if lines and r.returncode == 0 else
                  ["exit %d" % r.returncode] + (r.stdout + r.stderr).splitlines()[:20])


def namespace(names, conf=None, keep=None):
    """The results of one namespace configuration."""
    box = Box("names")
    try:
        server = cyrus.Cyrus(box, hook(tap.top("TOP_BUILDDIR")),
                             {"aps_topic": commands.CONF["aps_topic"], **names.conf,
                              **(conf or {})})
        names.prepare(server)
        server.start()
        stage = Stage(server)
        results = [stage.run(row) for row in namespaces.rows(names)]
        if keep is not None:
            keep += stage.done
            return results
        return results + [validated(box, stage)]
    finally:
        box.close()


def configuration(title):
    """Runs a configuration. Its results, or why there are none."""
    try:
        if title == MAIN:
            return main_configuration()
        return namespace(next(n for n in namespaces.configurations() if n.title == title))
    except Exception as e:
        return [Result("set-up", [], traceback.format_exception(e))]


def titles():
    return [MAIN] + [n.title for n in namespaces.configurations()]


def orphan():
    """A worker ends, and its servers with it, when whoever started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def run_all(wanted):
    """(title, results) of each, in their order, two at a time: each starts servers of its own."""
    with concurrent.futures.ProcessPoolExecutor(
            2, multiprocessing.get_context("fork"), orphan) as pool:
        yield from zip(wanted, pool.map(configuration, wanted))


def table(title, results, whole):
    print("\n%s\n%s" % (title, "-" * len(title)))
    for result in results:
        if not whole and not result.bad:
            continue
        lines = result.events or [("no event", "")]
        for n, (name, text) in enumerate(lines):
            print("%-44s %-22s %s" % ("" if n else result.title, name, text))
        for text in result.bad:
            print("    WRONG: %s" % text)
    failed = sum(bool(r.bad) for r in results)
    print("%d rows, %d events, %s" % (len(results), sum(len(r.events) for r in results),
                                      "%d WRONG" % failed if failed else "all as expected"))
    return failed


# --- recording ---

def record(folder):
    """Writes what the server itself wrote, one folder a configuration: imapd.conf (what concerns
    names), input (one event a line), expected (by tests/data/reference.py) and facts (event, user,
    owner, mailbox, between tabs; from the rows). To be read by eye before it is kept."""
    native = {"mboxevent_format": "native"}
    for names in [None] + [n for n in namespaces.configurations() if n.sample]:
        done = []
        if names:
            namespace(names, native, done)
        else:
            main_configuration(native, done)
        conf = {k: v for k, v in (names.conf if names else
                                  {"virtdomains": "userid", "unixhierarchysep": "yes",
                                   "altnamespace": "yes"}).items() if v}
        lines, facts, seen = [], [], set()
        for row, records in done:
            if [r.name for r in records] != [e.name for e in row.events]:
                raise Failed("%s: %s" % (row.title, records))
            for r, e in zip(records, row.events):
                kind = (e.name, e.user if e.name == "MailboxCreate" else "", str(e.at))
                if e.name in ("Login", "Logout") or kind in seen or (
                        "mary.ann:" in row.title and not row.title.endswith(("dot", "an @"))):
                    continue
                seen.add(kind)
                lines.append(r.line)
                facts.append("\t".join(e.facts().values()))
        path = os.path.join(folder, names.short if names else "commands")
        os.makedirs(path, exist_ok=True)
        text = "".join(line + "\n" for line in lines)
        options = ["%s=%s" % (k, conf[k]) for k in ("virtdomains", "defaultdomain") if k in conf]
        expected = subprocess.run(
            [sys.executable, os.path.join(tap.top("TOP_SRCDIR"), "tests/data/reference.py"),
             *options], input=text, text=True, check=True, stdout=subprocess.PIPE).stdout
        for name, data in (("imapd.conf", "".join("%s: %s\n" % kv for kv in conf.items())),
                           ("input", text), ("expected", expected),
                           ("facts", "".join(f + "\n" for f in facts))):
            with open(os.path.join(path, name), "w", encoding="utf-8") as f:
                f.write(data)


def main():
    if sys.argv[1:2] == ["--record"]:
        return record(sys.argv[2])
    verbose = "-v" in sys.argv[1:]
    wanted = [t for t in titles()
              if all(a in t for a in sys.argv[1:] if a != "-v")]
    print(__doc__.split("\n\n")[0])
    print("Left out: pid, service, timestamp, vnd.cmu.sessionId, serverFQDN, the user, and the "
          "larger parameters;\nall of them are compared.")
    failed = 0
    for title, results in run_all(wanted):
        failed += table(title, results, verbose or title == MAIN)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
