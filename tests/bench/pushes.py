# SPDX-License-Identifier: BSD-3-Clause
"""The apns sink's client and h2load, in turn against the same strict server."""

import json
import os
import re
import statistics
import subprocess
import time

import apns
import tap
from processes import Box, Failed

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

    def theirs(self):
        headers = ["authorization: bearer " + apns.bearer(self.apns.token_key),
                   "apns-topic: " + apns.TOPIC, "apns-push-type: background",
                   "apns-expiration: %d" % (time.time() + 86400), "apns-collapse-id: " + ACCOUNT,
                   "content-type: application/json"]

        def run():
            argv = [H2LOAD, "-n", str(self.count), "-c1", "-m", str(STREAMS), "-d", self.body,
                    "-i", self.uris] + [x for h in headers for x in ("-H", h)]
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
                text = p.stdout.read()
                _, status, used = os.wait4(p.pid, 0)
                p.returncode = os.waitstatus_to_exitcode(status)
            found = re.search(r"finished in .*, ([0-9.]+) req/s", text)
            if not found:
                raise Failed("h2load: " + text)
            return float(found.group(1)), used.ru_maxrss / 1024, STREAMS
        return self.delivered(run)


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
        stats = sides.apns.stats()
        if set(stats["statuses"]) != {"200"}:
            raise Failed("the server refused some: %r" % stats["statuses"])
    finally:
        box.close()
