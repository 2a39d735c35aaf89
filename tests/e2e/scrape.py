# SPDX-License-Identifier: BSD-3-Clause
"""What notifyd tells over HTTP, asked as Prometheus and a load balancer would."""

import re
import socket

from processes import Failed

LINE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


class Scraper:
    """place: (host, port), or the path of a UNIX socket."""

    def __init__(self, place):
        self.place = place

    def connect(self, timeout=20):
        family = socket.AF_UNIX if isinstance(self.place, str) else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(timeout)
        try:
            s.connect(self.place)
        except OSError:
            s.close()
            raise
        return s

    def ask(self, path, method="GET", timeout=20):
        """Status, headers (lower case) and body."""
        with self.connect(timeout) as s:
            s.sendall(("%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, path)).encode())
            got = b""
            while True:
                more = s.recv(1 << 16)
                if not more:
                    break
                got += more
        if not got:  # the process is being replaced
            raise ConnectionResetError("no answer")
        head, _, body = got.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers, body

    def up(self):
        try:
            return self.ask("/healthz")[0] in (200, 503)
        except OSError:
            return False

    def metrics(self):
        code, _, body = self.ask("/metrics")
        if code != 200:
            raise Failed("/metrics: %d %s" % (code, body))
        return Metrics(body)


class Metrics:
    """One scrape."""

    def __init__(self, text):
        self.text = text
        self.values = {}
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:4]
                self.types[name] = kind
            if line.startswith("#"):
                continue
            found = LINE.match(line)
            if not found:
                raise Failed("no line of the text format: %r" % line)
            name, labels, value = found.groups()
            key = (name, tuple(sorted(LABEL.findall(labels or ""))))
            if key in self.values:
                raise Failed("twice: %r" % line)
            self.values[key] = float(value)

    def get(self, name, **labels):
        key = (name, tuple(sorted(labels.items())))
        if key not in self.values:
            raise Failed("there is no %s %r" % (name, labels))
        return self.values[key]

    def has(self, name, **labels):
        return (name, tuple(sorted(labels.items()))) in self.values

    def sink(self, what, sink):
        return self.get("notifyd_sink_" + what, sink=sink)

    def state(self, sink):
        """The one state it is in."""
        on = [dict(k[1])["state"] for k, v in self.values.items()
              if k[0] == "notifyd_sink_connection" and dict(k[1])["sink"] == sink and v == 1]
        if len(on) != 1:
            raise Failed("%s is in %r" % (sink, on))
        return on[0]

    def events(self):
        return {dict(k[1])["group"]: v for k, v in self.values.items()
                if k[0] == "mboxevent_events_total"}

    def lost(self):
        """By reason, those that had any."""
        return {dict(k[1])["reason"]: v for k, v in self.values.items()
                if k[0] == "mboxevent_lost_total" and v}

    def counters(self):
        """Every series that must never go back."""
        return {k: v for k, v in self.values.items()
                if self.types.get(k[0]) == "counter" or k[0].endswith(("_bucket", "_count", "_sum"))}
