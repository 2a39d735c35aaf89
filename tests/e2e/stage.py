# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the matrix (a command, and the events that must come of it) and the stage they act on."""

import base64
import http.client
import os
import re
import time

from cyrus import BIN, PASSWORD, message, ok
from expect import shown, wrong
from journal import Journal
from processes import Failed
from tour import JOHN

ADMIN = "cyrus"
SETTLE = 0.02  # what must not come has this long to come
BIG = "x" * 1022 + "\r\n"  # a kilobyte of a message


class Row:
    """act(stage), and the events that must come of it: these, in this order, and no other."""

    def __init__(self, title, act, *events):
        self.title, self.act, self.events = title, act, events


class Result:
    """What came of a row: its events as (name, text), and what was wrong."""

    def __init__(self, title, records, bad):
        self.title, self.bad = title, bad
        self.events = [(r.name, shown(r)) for r in records]


class Stage:
    """A Cyrus, its journal, and the sessions that rows use."""

    def __init__(self, server):
        self.cyrus = server
        self.box = server.box
        self.journal = Journal(server.journal)
        self.sessions = {}
        # The session that waited for the server.
        self.records = self.journal.until(lambda got: any(r.name == "Logout" for r in got))
        self.done = []  # rows with their records

    def __getitem__(self, user):
        return self.sessions[user]

    def login(self, user):
        self.sessions[user] = self.cyrus.imap(user)

    def logout(self, user):
        self.sessions.pop(user).logout()

    def raw(self, user, *parts):
        """A command with literals as it stands; its last line must be OK."""
        i = self[user]
        tag = i._new_tag()
        i.send(tag + b" " + parts[0])
        for part in parts[1:]:
            i.send(part)
        i.send(b"\r\n")
        while True:
            line = i.readline()
            if line.startswith(tag) or not line:
                if not line.startswith(tag + b" OK"):
                    raise Failed("IMAP: %r" % line)
                return

    def http(self, method, path, body="", user=JOHN, want=(200, 201, 204, 207), **headers):
        h = http.client.HTTPConnection("127.0.0.1", self.cyrus.http_port, timeout=30)
        login = base64.b64encode(("%s:%s" % (user, PASSWORD)).encode()).decode()
        h.request(method, path, body=body.encode(),
                  headers={"Authorization": "Basic " + login,
                           **{k.replace("_", "-"): v for k, v in headers.items()}})
        answer = h.getresponse()
        text = answer.read().decode(errors="replace")
        h.close()
        if answer.status not in want:
            raise Failed("%s %s: status %d: %s" % (method, path, answer.status, text))
        return text

    def skip(self):
        """Takes an event that belongs to no row."""
        self.records += self.journal.until(lambda got: got)

    def tool(self, name, *args, preload=True):
        """One of Cyrus's tools, as the mail user runs it from a shell (or with the hook)."""
        env = {"LD_PRELOAD": self.cyrus.hook} if preload else {}
        self.box.run([os.path.join(BIN, name), "-C", self.cyrus.imapd_conf, *args],
                     user=self.box.user, env=env)

    def deleted(self, like, prefix="DELETED"):
        """The name of a deleted mailbox, as the admin sees it."""
        names = [line.decode().rpartition('" ')[2].strip('"') for line in
                 ok(self[ADMIN].list()) if line]
        return next(n for n in names if n.startswith(prefix) and re.search(like, n))

    def run(self, row):
        try:
            row.act(self)
            records = self.journal.until(lambda got: len(got) >= len(row.events))
            time.sleep(SETTLE)
            records += self.journal.new()
            bad = wrong(records, row.events)
        except Exception as e:  # a row that fails must not hide the others
            records = self.journal.new()
            bad = ["%s: %s" % (type(e).__name__, e)]
        self.records += records
        self.done.append((row, records))
        return Result(row.title, records, bad)


# --- acts ---

def append(user, folder, subject, flags=None, body="Hello.\r\n"):
    return lambda s: ok(s[user].append(folder, flags, None, message(subject, body)))


def refused(fn):
    def act(s):
        status, text = fn(s)
        if status != "NO":
            raise Failed("answered %s %r, expected NO" % (status, text))
    return act


def on(user, method, *args):
    return lambda s: ok(getattr(s[user], method)(*args))


def chain(*acts):
    def act(s):
        for one in acts:
            one(s)
    return act


def mid(*subjects):
    return ["<%s@example.org>" % "-".join(s.lower().split()) for s in subjects]
