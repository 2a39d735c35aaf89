# SPDX-License-Identifier: BSD-3-Clause
"""The usual stage of an end-to-end test: a box with a private Cyrus and a private notifyd."""

import json
import socket
import threading

import cyrus
import notifyd
import tap
import tour
from devlog import Devlog
from processes import Box, Failed
from subscriber import Subscriber


class World:
    """conf: more lines of imapd.conf. Nothing is started yet."""

    def __init__(self, name, preload=True, conf=None, path=None, keep=False):
        self.subscribers = []
        self.markers = 0
        self.box = Box(name, path, keep)
        try:
            self.devlog = Devlog(self.box)
            self.build = tap.top("TOP_BUILDDIR")
            self.local = self.box.at("run", "events")
            self.cyrus = cyrus.Cyrus(
                self.box, notifyd.hook(self.build) if preload else None,
                {"notifyd_sinks": "local", "notifyd_local_type": "unix",
                 "notifyd_local_path": self.local,
                 "mboxevent_min_free": "0",  # how full the disk is here is no matter
                 **(conf or {})})
            self.notifyd = notifyd.Notifyd(self.box, self.build, self.cyrus.imapd_conf,
                                           self.cyrus.conf)
        except BaseException:
            self.box.close()
            raise

    def start(self, notifyd=True):
        try:
            if notifyd:
                self.notifyd.start()
            self.cyrus.start()
        except BaseException:
            if not self.box.keep:
                self.close()
            raise
        return self

    def subscribe(self, name=None, path=None, **more):
        """A live one is known to receive when this returns."""
        s = Subscriber(path or self.local, name, **more)
        self.subscribers.append(s)
        if name is None:
            self.mark(s)
            s.events.clear()
            s.raw.clear()
        return s

    def send(self, events):
        """Appends events with notifyctl, as a mail server's tool would."""
        text = "".join(json.dumps(e) + "\n" for e in events)
        return self.notifyd.ctl("send", "-", input=text)

    def mark(self, subscriber, timeout=60):
        """Sends an event of a kind of its own until the subscriber has it."""
        for _ in range(timeout * 2):
            self.markers += 1
            user = "marker-%d@example.org" % self.markers
            self.send([{"event": "MailboxSubscribe", "user": user,
                        "uri": "imap://%s@imap.example.org/Marker" % user}])
            try:
                subscriber.find("MailboxSubscribe", user=user, timeout=0.5)
                break
            except Failed:
                continue
        else:
            raise Failed("a live subscriber gets nothing within %d s: %s"
                         % (timeout, subscriber.error))

    def walk(self, subscriber):
        """The tour, with a subscriber that must see each step's events before the next."""
        for step in tour.Tour(self.cyrus).steps():
            since = len(subscriber.events)
            step.act()
            try:
                subscriber.wait(lambda e: not tour.find(e, step, since)[1])
            except Failed as e:
                raise Failed("%s: %s\n%s" % (step, "; ".join(
                    tour.find(subscriber.events, step, since)[1]), e)) from None

    def logs(self, lines=25):
        return self.box.logs(lines)

    def close(self):
        for s in self.subscribers:
            s.close()
        self.box.close()


class Stock:
    """Stands for the stock notifyd: keeps the datagrams that are forwarded to it."""

    def __init__(self, box):
        self.path = box.at("run", "stock-notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        box.own(self.path)
        self.got = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            self.got.append(self.socket.recv(1 << 16).split(b"\0"))


def real(events):
    """Without the markers."""
    return [e for e in events if not str(e.get("user", "")).startswith("marker-")]
