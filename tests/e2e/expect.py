# SPDX-License-Identifier: BSD-3-Clause
"""What an event of real Cyrus 3.6.1 must be in the documented form: its parameters, each of them
and no other, the form of those that vary, and the facts in its journal record."""

import re

import tour

SERVER = tour.SERVER
ABSENT = tour.ABSENT


class Form:
    def __init__(self, name, ok):
        self.name, self.ok = name, ok

    def __repr__(self):
        return "<%s>" % self.name


def form(name, pattern):
    return Form(name, lambda v: isinstance(v, str) and re.fullmatch(pattern, v, re.S) is not None)


def number(low=0):
    return Form("number", lambda v: type(v) is int and v >= low)


def listed(pattern):
    return Form("array", lambda v: isinstance(v, list) and bool(v) and all(
        isinstance(s, str) and re.fullmatch(pattern, s) for s in v))


TEXT = form("text", r".+")
NAME = form("host", r"[a-zA-Z0-9.:-]+")
UNIQUE = form("unique id", r"[0-9a-z]{24}")
SET = form("sequence set", r"[1-9][0-9]*(:[1-9][0-9]*)?(,[1-9][0-9]*(:[1-9][0-9]*)?)*")

# Where a row says nothing of a parameter, it has this form.
FORMS = {
    "aclRights": form("rights", r"[a-z0-9]*"),
    "bodyStructure": form("list", r"\(.*\)"),
    "clientIP": "127.0.0.1",
    "clientPort": number(1),
    "diskQuota": number(-1),
    "diskUsed": number(),
    "maxMessages": number(-1),
    "messageSize": number(1),
    "messages": number(),
    "modseq": number(1),
    "pid": number(2),
    "serverDomain": "127.0.0.1",
    "serverFQDN": SERVER,
    "serverPort": number(1),
    "service": "imap",
    "timestamp": form("time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}([+-]\d\d:\d\d|Z)"),
    "uidnext": number(1),
    "uidset": SET,
    "vnd.cmu.envelope": form("list", r"\(.*\)"),
    "vnd.cmu.mailboxACL": form("ACL", r"([^\t]+\t[^\t]*\t)+"),
    "vnd.cmu.mbtype": form("type", r"[a-z]*"),
    "vnd.cmu.midset": listed(r"NIL|<.*>"),
    "vnd.cmu.oldUidset": SET,
    "vnd.cmu.sessionId": form("session", re.escape(SERVER) + r"-\d+-\d+-.*"),
    "vnd.cmu.unseenMessages": number(),
    "mailboxUniqueId": UNIQUE,
    "mailboxUser": TEXT,
    "timezone": TEXT,
}

COMMON = "pid serverFQDN service timestamp uri user vnd.cmu.sessionId"
MAILBOX = COMMON + " mailboxUniqueId vnd.cmu.mailboxACL vnd.cmu.mbtype"
MESSAGES = MAILBOX + " messages modseq uidnext uidset vnd.cmu.midset vnd.cmu.unseenMessages"
APPENDED = (MAILBOX + " bodyStructure messageSize messages modseq uidnext vnd.cmu.envelope"
            " vnd.cmu.midset vnd.cmu.unseenMessages")
COPIED = MESSAGES + " oldMailboxID vnd.cmu.oldUidset"
QUOTA = COMMON + " diskQuota diskUsed maxMessages messages"
SESSION = COMMON + " clientIP clientPort serverDomain serverPort"

PARAMETERS = {name: set(keys.split()) for name, keys in {
    "AclChange": MAILBOX + " aclRights aclSubject mailboxID",
    "ApplePushService": "apsAccountId apsDeviceToken apsSubtopic apsVersion mailboxes pid user",
    "ApplePushServiceDAV": "apsTopic apsDeviceToken expiry mailboxUniqueId mailboxUser pid user"
                           " vnd.cmu.mbtype",
    "CalendarAlarm": "action alarmRecipients alarmTime allDay attendeeEmails attendeeNames"
                     " attendeeStatus calendarColor calendarId calendarName description end"
                     " location organizer pid serverFQDN start summary timezone uid userId",
    "FlagsClear": MESSAGES + " flagNames",
    "FlagsSet": MESSAGES + " flagNames",
    "Login": SESSION,
    "Logout": SESSION,
    "MailboxCreate": MAILBOX + " mailboxID",
    "MailboxDelete": MAILBOX + " mailboxID",
    "MailboxRename": MAILBOX + " mailboxID oldMailboxID",
    "MailboxSubscribe": COMMON + " mailboxUniqueId",
    "MailboxUnSubscribe": COMMON + " mailboxUniqueId",
    "MessageAppend": APPENDED,
    "MessageExpire": MESSAGES,
    "MessageExpunge": MESSAGES,
    "MessageNew": APPENDED,
    "MessageRead": MESSAGES,
    "MessageTrash": MESSAGES,
    "QuotaChange": QUOTA,
    "QuotaExceed": QUOTA,
    "QuotaWithin": QUOTA,
    "vnd.cmu.MessageCopy": COPIED,
    "vnd.cmu.MessageMove": COPIED,
}.items()}

# Shorter names for rows.
VENDOR = {name: "vnd.cmu." + name for name in ("davFilename", "davUid", "mbtype", "midset",
                                               "oldUidset", "unseenMessages")}

# What the table shows of an event, beside its mailbox: not what every event has.
DULL = set(MAILBOX.split()) | {"event", "mailboxID", "bodyStructure", "vnd.cmu.envelope",
                               "vnd.cmu.midset", "messageSize", "uidnext", "clientPort",
                               "serverPort", "serverDomain"}


def encode(mailbox):
    """A name as Cyrus writes it into a URL."""
    out = ""
    for byte in mailbox.encode():
        c = chr(byte)
        out += c if c.isascii() and (c.isalnum() or c in "$-_.+!*'(),/=") else "%%%02X" % byte
    return out


class Place:
    """A mailbox: whose (empty: nobody's), its name as its owner sees it."""

    def __init__(self, mailbox, owner=tour.JOHN):
        self.mailbox, self.owner = mailbox, owner

    def url(self, uid=None, validity=True):
        """A pattern of its documented URL, UIDVALIDITY whatever it is."""
        tail = ";UIDVALIDITY=[0-9]+" if validity else ""
        if uid is not None:
            tail += "/;UID=%d" % uid
        owner = encode(self.owner).replace("%40", "@") + "@" if self.owner else ""
        return form("URL", "imap://%s/%s" % (re.escape(owner + SERVER),
                                             re.escape(encode(self.mailbox))) + tail)

    def __repr__(self):
        return "%s of %s" % (self.mailbox, self.owner or "nobody")


class Event:
    """One that must come. at: its mailbox, as a Place or the name of one of john's. values: what
    parameters must be (ABSENT: must not be there); others have the forms above."""

    def __init__(self, name, at=None, user=tour.JOHN, uid=None, old=None, drop=(), **values):
        self.name = name
        self.at = Place(at) if isinstance(at, str) else at
        self.user = user
        want = {key: FORMS.get(key, TEXT) for key in PARAMETERS[name] - set(drop)}
        want["event"] = name
        if "user" in want:
            want["user"] = user if user else ABSENT
        validity = "mailboxID" in want or "mailboxUniqueId" in want and "Subscribe" not in name
        if "uri" in want:
            want["uri"] = self.at.url(uid, validity) if self.at else "imap://" + SERVER
        if "mailboxID" in want:
            want["mailboxID"] = want["uri"]
        if "oldMailboxID" in want:
            old = Place(old) if isinstance(old, str) else old
            want["oldMailboxID"] = old.url() if isinstance(old, Place) else old
        if set(",:") & set(str(values.get("uidset"))):
            del want["modseq"]  # not for several messages
        want.update({VENDOR.get(key, key): value for key, value in values.items()})
        self.want = want

    def wrong(self, record):
        """What is wrong with a record, as a list of texts."""
        bad = []
        got = record.event
        for key, want in sorted(self.want.items()):
            if want is ABSENT:
                if key in got:
                    bad.append("%s is there: %r" % (key, got[key]))
            elif key not in got:
                bad.append("%s is missing" % key)
            elif isinstance(want, Form):
                if not want.ok(got[key]):
                    bad.append("%s is %r, no %r" % (key, got[key], want))
            elif got[key] != want or type(got[key]) is not type(want):
                bad.append("%s is %r, expected %r" % (key, got[key], want))
        for key in sorted(set(got) - set(self.want)):
            bad.append("%s is not expected: %r" % (key, got[key]))
        form = tour.canonical(record.line)
        if form:
            bad.append(form)
        for fact, want in self.facts().items():
            if getattr(record, fact) != want:
                bad.append("the record's %s is %r, expected %r" % (fact, getattr(record, fact),
                                                                   want))
        if record.native:
            bad.append("the record is marked as native")
        return bad

    def facts(self):
        owner = self.at.owner if self.at else ""
        if "uri" not in self.want:
            owner = self.want.get("mailboxUser") or self.want.get("userId") or self.user
        return {"name": self.name, "user": self.user or "", "owner": owner,
                "mailbox": self.at.mailbox if self.at else ""}


def wrong(records, events):
    """What is wrong with a list of records that should be these events."""
    bad = []
    if [r.name for r in records] != [e.name for e in events]:
        bad.append("events: %s, expected: %s" % (", ".join(r.name for r in records) or "none",
                                                 ", ".join(e.name for e in events) or "none"))
        for name in sorted({r.name for r in records} - {e.name for e in events}):
            bad += ["  " + r.line for r in records if r.name == name][:2]
    for record, event in zip(records, events):
        if record.name == event.name:
            bad += ["%s: %s" % (event.name, text) for text in event.wrong(record)]
    return bad


def shown(record):
    """The mailbox of a record and its telling parameters, for a table."""
    event = record.event
    parts = []
    uri = event.get("uri", "")
    where = re.sub(r";UIDVALIDITY=\d+/?", "", uri.replace("imap://", "").replace(SERVER, "", 1))
    if where:
        parts.append(where.replace("@/", ":"))
    for key in sorted(set(event) - DULL):
        value = event[key]
        if key == "oldMailboxID":
            value = re.sub(r";UIDVALIDITY=\d+/?", "", value.replace("imap://", "").replace(
                SERVER, "", 1)).replace("@/", ":")
        elif isinstance(value, list):
            value = "[%s]" % " ".join(value)
        elif value is None:
            value = "null"
        parts.append("%s=%s" % (key.replace("vnd.cmu.", ""), value))
    return " ".join(parts)
