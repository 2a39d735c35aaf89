# SPDX-License-Identifier: BSD-3-Clause
"""What a mail user does in a day, and the documented event that must come of each act.
The quickstart shows it, the tests compare it."""

import json
import re

from cyrus import message, ok

SERVER = "imap.example.org"
JOHN = "john@example.org"
PRESENT = object()
ABSENT = object()


def url(mailbox, owner=JOHN, tail=""):
    """The documented URL of a mailbox, its UIDVALIDITY whatever it is."""
    return re.compile(r"^imap://%s%s/%s;UIDVALIDITY=[0-9]+%s$"
                      % (re.escape(owner + "@") if owner else "", re.escape(SERVER),
                         re.escape(mailbox), re.escape(tail)))


def plain(mailbox, owner=JOHN):
    """The same without UIDVALIDITY."""
    return "imap://%s@%s/%s" % (owner, SERVER, mailbox)


def matches(event, want):
    """What is wrong with an event, as text; None when it is as wanted."""
    for key, value in want.items():
        got = event.get(key)
        if value is PRESENT:
            if key not in event:
                return "%s is missing" % key
        elif value is ABSENT:
            if key in event:
                return "%s is there: %r" % (key, got)
        elif isinstance(value, re.Pattern):
            if not isinstance(got, str) or not value.search(got):
                return "%s is %r, expected %s" % (key, got, value.pattern)
        elif key not in event or got != value or type(got) is not type(value):
            return "%s is %r, expected %r" % (key, got, value)
    return None


def canonical(line):
    """What is wrong with a line's form: the documented one is sorted, compact ASCII."""
    value = json.loads(line)
    if line != json.dumps(value, sort_keys=True, separators=(",", ":")):
        return "not sorted, compact and ASCII: %s" % line
    return None


class Step:
    def __init__(self, title, act, *want):
        self.title, self.act, self.want = title, act, want

    def __repr__(self):
        return self.title


class Tour:
    """One session of john's on a fresh server."""

    def __init__(self, cyrus):
        self.cyrus = cyrus
        self.john = None

    def login(self):
        self.john = self.cyrus.imap(JOHN)

    def select(self, folder="INBOX"):
        ok(self.john.select(folder))

    def uid(self, *args):
        ok(self.john.uid(*args))

    def append(self):
        ok(self.john.append("INBOX", r"(\Flagged)", None, message("Lunch on Friday")))
        self.select()

    def quota(self):
        admin = self.cyrus.admin()
        ok(admin.setquota("user/john@example.org", "(STORAGE 10240)"))
        admin.logout()

    def steps(self):
        """In order. After `act` every event of `want` must come, in that order."""
        common = {"pid": PRESENT, "timestamp": PRESENT, "vnd.cmu.sessionId": PRESENT,
                  "service": "imap", "user": JOHN}

        def event(name, **more):
            return {"event": name, **common, **more}

        def mailbox(name, folder, **more):
            return event(name, uri=url(folder), mailboxID=url(folder), **more)

        def messages(name, folder, uidset, **more):
            return event(name, uri=url(folder), uidset=uidset, mailboxID=ABSENT,
                         **{"messages": PRESENT, "modseq": PRESENT, "uidnext": PRESENT,
                            "vnd.cmu.midset": PRESENT, "vnd.cmu.unseenMessages": PRESENT, **more})

        appended = {"bodyStructure": PRESENT, "flagNames": r"\Flagged", "messageSize": PRESENT,
                    "messages": 1, "uidnext": 2, "vnd.cmu.envelope": PRESENT, "uidset": ABSENT,
                    "vnd.cmu.midset": ["<lunch-on-friday@example.org>"], "mailboxID": ABSENT}
        moved = {"oldMailboxID": url("INBOX"), "vnd.cmu.oldUidset": "1"}
        renamed = {"oldMailboxID": url("Archive/2024")}
        return [
            Step("LOGIN", self.login,
                 event("Login", uri="imap://" + SERVER, clientIP="127.0.0.1", clientPort=PRESENT,
                       serverDomain=PRESENT, serverPort=self.cyrus.imap_port)),
            Step("CREATE a folder", lambda: ok(self.john.create("Archive/2024")),
                 mailbox("MailboxCreate", "Archive"), mailbox("MailboxCreate", "Archive/2024")),
            Step("SUBSCRIBE to it", lambda: ok(self.john.subscribe("Archive/2024")),
                 event("MailboxSubscribe", uri=plain("Archive/2024"))),
            Step("APPEND a message", self.append,
                 event("MessageAppend", uri=url("INBOX", tail="/;UID=1"), **appended)),
            Step("read it (STORE +FLAGS \\Seen)",
                 lambda: self.uid("STORE", "1", "+FLAGS", r"(\Seen)"),
                 messages("MessageRead", "INBOX", "1", flagNames=ABSENT)),
            Step("label it (STORE +FLAGS $Work)",
                 lambda: self.uid("STORE", "1", "+FLAGS", "($Work)"),
                 messages("FlagsSet", "INBOX", "1", flagNames=re.compile(r"(?i)^\$work$"))),
            Step("take the star away (STORE -FLAGS \\Flagged)",
                 lambda: self.uid("STORE", "1", "-FLAGS", r"(\Flagged)"),
                 messages("FlagsClear", "INBOX", "1", flagNames=r"\Flagged")),
            Step("COPY it to the folder", lambda: self.uid("COPY", "1", "Archive/2024"),
                 messages("vnd.cmu.MessageCopy", "Archive/2024", "1", **moved)),
            Step("MOVE it to the folder", lambda: self.uid("MOVE", "1", "Archive/2024"),
                 messages("vnd.cmu.MessageMove", "Archive/2024", "2", **moved),
                 messages("MessageExpunge", "INBOX", "1")),
            Step("LMTP delivery of a message",
                 lambda: self.cyrus.deliver(message("Minutes of the meeting")),
                 {"event": "MessageNew", "uri": url("INBOX", tail="/;UID=2"), "pid": PRESENT,
                  "service": "lmtpunix", "timestamp": PRESENT, "messages": 1,
                  "vnd.cmu.midset": ["<minutes-of-the-meeting@example.org>"],
                  "mailboxID": ABSENT}),
            Step("delete it (STORE +FLAGS \\Deleted)", self.trash,
                 messages("MessageTrash", "INBOX", "2", flagNames=ABSENT)),
            Step("EXPUNGE", lambda: ok(self.john.expunge()),
                 messages("MessageExpunge", "INBOX", "2", flagNames=ABSENT)),
            Step("RENAME the folder", lambda: ok(self.john.rename("Archive/2024", '"Old mail"')),
                 mailbox("MailboxRename", "Old%20mail", **renamed)),
            Step("SETACL: jane may read it",
                 lambda: ok(self.john.setacl('"Old mail"', "jane@example.org", "lrs")),
                 mailbox("AclChange", "Old%20mail", aclSubject="jane@example.org",
                         aclRights="lrs")),
            Step("DELETEACL: she may no more",
                 lambda: ok(self.john.deleteacl('"Old mail"', "jane@example.org")),
                 mailbox("AclChange", "Old%20mail", aclSubject="jane@example.org",
                         aclRights=None)),
            Step("SETQUOTA by the admin", self.quota,
                 {"event": "QuotaChange", "diskQuota": 10240, "maxMessages": -1,
                  "user": JOHN, "uri": plain("INBOX")}),
            Step("UNSUBSCRIBE", lambda: ok(self.john.unsubscribe("Archive/2024")),
                 event("MailboxUnSubscribe", uri=plain("Archive/2024"))),
            Step("DELETE the folder", lambda: ok(self.john.delete('"Old mail"')),
                 mailbox("MailboxDelete", "Old%20mail")),
            Step("LOGOUT", self.logout, event("Logout", uri="imap://" + SERVER)),
        ]

    def trash(self):
        self.select()
        self.uid("STORE", "2", "+FLAGS", r"(\Deleted)")

    def logout(self):
        self.john.logout()


def find(events, step, since=0):
    """The events that `step` must bring, searched from index since on: a list of events, and for
    those that are missing None, beside what was wrong with the nearest candidate."""
    found, wrong, at = [], [], since
    for want in step.want:
        hit, why = None, "no %s came" % want["event"]
        for i in range(at, len(events)):
            if events[i]["event"] == want["event"]:
                bad = matches(events[i], want)
                if bad is None:
                    hit, at = events[i], i + 1
                    break
                why = "%s: %s" % (want["event"], bad)
        found.append(hit)
        if hit is None:
            wrong.append(why)
    return found, wrong
