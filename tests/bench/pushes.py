# SPDX-License-Identifier: BSD-3-Clause
"""The apns sink's client, the whole sink and h2load, in turn against the same strict server."""

import json
import os
import re
import statistics
import subprocess
import time

import apns
import tap
from notifyd import Notifyd
from processes import Box, Failed, identity, wait_for

DEVICES = 100000
OFFERED = 10000
STREAMS = 1000
ACCOUNT = "E8CD34AD-98D6-4489-90BB-613F586C67C9"
H2LOAD = "/usr/bin/h2load"


def token(n):
    return "%064x" % n


class Sides:
    def __init__(self, box, count):
        self.box, self.count = box, count
        self.build = tap.top("TOP_BUILDDIR")
        # Nothing is recorded: what is measured is the way there and back.
        self.apns = apns.Apns(box, self.build).start(
            "--max-streams", str(STREAMS), "--topic", apns.TOPIC, record=False)
        self.uris, self.body = box.at("uris"), box.at("body")
        with open(self.uris, "w", encoding="ascii") as f:
            f.writelines("%s/3/device/%s\n" % (self.apns.url, token(n)) for n in range(DEVICES))
        with open(self.body, "w", encoding="ascii") as f:
            f.write('{"aps":{"account-id":"%s"}}' % ACCOUNT)

    def delivered(self, fn):
        """fn's figures; the server must have delivered all."""
        before = self.apns.stats()["delivered"]
        figures = fn()
        got = self.apns.stats()["delivered"] - before
        if got != self.count:
            raise Failed("%d of %d were delivered" % (got, self.count))
        return figures

    def ours(self, rate=0):
        def run():
            return json.loads(self.box.run([
                os.path.join(self.build, "tests", "apns", "pusher"), "--url", self.apns.url,
                "--cafile", self.apns.cafile, "--token-key", self.apns.token_key, "--key-id",
                apns.KEY_ID, "--team-id", apns.TEAM_ID, "--topic", apns.TOPIC, "--devices",
                str(DEVICES), "--count", str(self.count), "--inflight", str(STREAMS)]
                + (["--rate", str(rate)] if rate else []), timeout=600).stdout)
        got = self.delivered(run)
        return got["rate"], got["memory_kb"] / 1024, got["most_inflight"]

    def theirs(self, rate=0):
        headers = ["authorization: bearer " + apns.bearer(self.apns.token_key),
                   "apns-topic: " + apns.TOPIC, "apns-push-type: background",
                   "apns-expiration: %d" % (time.time() + 86400), "apns-collapse-id: " + ACCOUNT,
                   "content-type: application/json"]

        def run():
            argv = [H2LOAD, "-n", str(self.count), "-c1", "-m", str(STREAMS), "-d", self.body,
                    "-i", self.uris] + (["--rps", str(rate)] if rate else []) + [x for h in headers for x in ("-H", h)]
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
                text = p.stdout.read()
                _, status, used = os.wait4(p.pid, 0)
                p.returncode = os.waitstatus_to_exitcode(status)
            found = re.search(r"finished in .*, ([0-9.]+) req/s", text)
            if not found:
                raise Failed("h2load: " + text)
            return float(found.group(1)), used.ru_maxrss / 1024, STREAMS
        return self.delivered(run)


class Sink:
    """notifyd with the sink alone: devices imported, events from the journal."""

    def __init__(self, sides):
        self.sides, box = sides, sides.box
        a = sides.apns
        self.conf = {
            "mboxevent_journal": box.folder("journal", mode=0o700), "mboxevent_min_free": "0",
            "notifysocket": box.at("run", "notify"), "notifyd_sinks": "phones",
            "notifyd_phones_type": "apns", "notifyd_phones_url": a.url,
            "notifyd_phones_cafile": a.cafile, "notifyd_phones_token_key": a.token_key,
            "notifyd_phones_key_id": apns.KEY_ID, "notifyd_phones_team_id": apns.TEAM_ID,
            "notifyd_phones_from": "oldest", "aps_topic": apns.TOPIC, "virtdomains": "userid"}
        box.own(box.folder("run"))
        box.own(self.conf["mboxevent_journal"])
        path = box.at("imapd.conf")
        with open(path, "w", encoding="ascii") as f:
            f.writelines("%s: %s\n" % line for line in self.conf.items())
        self.notifyd = Notifyd(box, sides.build, path, self.conf)
        self.notifyd.ctl("devices", "import", "-", timeout=600, input="".join(json.dumps({
            "kind": "mail", "token": token(n), "account": "%032X" % n, "registered": 1,
            "user": "user%d@example.org" % n, "mailboxes": ["INBOX"]}) + "\n"
            for n in range(DEVICES)))

    def events(self, start, stop):
        return "".join(json.dumps({
            "event": "MessageNew", "pid": 1, "user": "user%d@example.org" % (n % DEVICES), "uri":
            "imap://user%d@example.org@imap.example.org/INBOX;UIDVALIDITY=1/;UID=1"
            % (n % DEVICES)}) + "\n" for n in range(start, stop))

    def memory(self):
        """Of the largest of its processes, MB."""
        memory = 0
        for pid in self.notifyd.children():
            with open("/proc/%d/status" % pid, encoding="ascii") as f:
                memory = max(memory, int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)))
        return memory / 1024

    def paced(self, rate):
        """One event each, so many a second, as they come."""
        stats, count = self.sides.apns.stats, min(self.sides.count, 10 * rate)
        chunks = [self.events(n, n + rate // 20) for n in range(0, count, rate // 20)]
        self.notifyd.start()
        with subprocess.Popen([self.notifyd.notifyctl, "-C", self.notifyd.imapd_conf, "send", "-"],
                              stdin=subprocess.PIPE, text=True, **identity(self.sides.box.user)) as p:
            before, begun = stats()["delivered"], time.monotonic()
            for i, chunk in enumerate(chunks):
                p.stdin.write(chunk)
                p.stdin.flush()
                time.sleep(max(0, begun + (i + 1) / 20 - time.monotonic()))
            p.stdin.close()
            wait_for("all are delivered", lambda: stats()["delivered"] - before >= count,
                     timeout=600, every=0.02)
            took = time.monotonic() - begun
        figures = count / took, self.memory(), stats().get("most", 0)
        self.notifyd.stop()
        return figures

    def run(self):
        """As many pushes a second as there are events and devices to them; its memory."""
        self.notifyd.ctl("send", "-", timeout=600, input=self.events(0, self.sides.count))
        before = self.sides.apns.stats()["delivered"]
        begun = time.monotonic()
        self.notifyd.start()
        wait_for("all are delivered", lambda: self.sides.apns.stats()["delivered"] - before >=
                 self.sides.count, timeout=600, every=0.05)
        took = time.monotonic() - begun
        memory = self.memory()
        self.notifyd.stop()
        return self.sides.count / took, memory, self.sides.apns.stats().get("most", 0)


def measure(row, runs, count):
    """row: bench.Row. A row at full speed, one at the rate that is offered."""
    if not os.path.exists(H2LOAD):
        raise Failed("h2load is missing (package nghttp2-client)")
    box = Box("bench-pushes")
    try:
        sides = Sides(box, count)
        ours, theirs = [], []
        for _ in range(runs):
            ours.append(sides.ours())
            theirs.append(sides.theirs())

        def middle(all_runs):
            return [statistics.median(r[i] for r in all_runs) for i in range(3)]

        def told(figures):
            return "%.0f/s, %.1f MB, %d in flight" % tuple(figures)

        a, b = middle(ours), middle(theirs)
        row("apns client, %d devices" % DEVICES, "h2load, the same server and requests",
            ">= 0.6 x", told(a), told(b), a[0] / b[0], 0.6, False)
        paced = sides.ours(OFFERED)
        row("apns client, %d/s offered" % OFFERED, "what is offered", ">= 0.95 x", told(paced),
            "%d/s" % OFFERED, paced[0] / OFFERED, 0.95, False)
        sink = Sink(sides)
        whole = sink.paced(OFFERED)
        paced = sides.theirs(OFFERED)
        row("apns sink, %d devices, %d/s offered" % (DEVICES, OFFERED), "h2load, as many offered",
            ">= 0.6 x", told(whole), told(paced), whole[0] / paced[0], 0.6, False)
        whole = sink.run()
        row("apns sink, from a backlog", "h2load at full speed, as above", ">= 0.6 x",
            told(whole), told(b), whole[0] / b[0], 0.6, False)
        stats = sides.apns.stats()
        if set(stats["statuses"]) != {"200"}:
            raise Failed("the server refused some: %r" % stats["statuses"])
    finally:
        box.close()
