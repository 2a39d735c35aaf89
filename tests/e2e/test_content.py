#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""messageContent on an unmodified Cyrus: with the hook each event carries its own message, without
it none does, and imapd dies where the inclusion mode is not standard."""

import imaplib
import json
import os
import re

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

from cyrus import EXTRA_PARAMS, message, ok
from harness import World
from tap import check, same

case = tap.Cases()

JOHN, JANE, MARY = "john@example.org", "jane@example.org", "mary@example.org"
ICS = ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example.org//test//EN\r\nBEGIN:VEVENT\r\n"
       "UID:1@example.org\r\nDTSTAMP:20240101T000000Z\r\nDTSTART:20240101T100000Z\r\n"
       "DTEND:20240101T110000Z\r\nSUMMARY:Mittag im K\u00fchlhaus\r\nEND:VEVENT\r\n"
       "END:VCALENDAR\r\n")


def setup():
    world = World("content", conf={"event_extra_params": EXTRA_PARAMS + " messageContent"})
    world.start()
    ok(world.cyrus.admin().create("user/" + MARY))
    world.live = world.subscribe()
    return world


def stored(world, event):
    """The message as the server has it, fetched by the event's URL."""
    owner, folder, uid = re.match(r"imap://([^/]*)@imap\.example\.org/([^;]*);UIDVALIDITY=\d+/;UID="
                                  r"(\d+)$", event["uri"]).groups()
    admin = world.cyrus.admin()
    local, domain = owner.split("@")
    name = "user/" + local + ("" if folder == "INBOX" else "/" + folder) + "@" + domain
    admin.setacl('"%s"' % name, "cyrus", "lrs")
    ok(admin.select('"%s"' % name, readonly=True))
    data = ok(admin.uid("FETCH", uid, "(BODY.PEEK[])"))
    admin.logout()
    return uid, data[0][1]


def text(data):
    """What the event says of these bytes: those that are not UTF-8 are U+FFFD, each."""
    out = ""
    while data:
        try:
            return out + data.decode()
        except UnicodeDecodeError as e:
            out += data[:e.start].decode() + "\ufffd"
            data = data[e.start + 1:]
    return out


def configure(world, mode="standard", size=0, **more):
    world.cyrus.configure({"event_content_inclusion_mode": mode, "event_content_size": str(size),
                           **more})
    # mail processes read it when they start
    world.cyrus.stop()
    world.cyrus.start()


def content(event):
    """(uid, text) of the only message in it."""
    (item,) = event["messageContent"].items()
    return item


def parts(world, event):
    uid, whole = stored(world, event)
    header = whole.index(b"\r\n\r\n") + 4
    return uid, whole, whole[:header], whole[header:]


@case("LMTP: the whole message as it is stored, under its UID, and uidset")
def lmtp(world):
    since = len(world.live.events)
    world.cyrus.deliver(message("First", "Gr\u00fc\u00dfe,\r\n\"Jane\"\r\n"))
    e = world.live.find("MessageNew", since)
    uid, whole = stored(world, e)
    same(content(e), (uid, whole.decode()), "content")
    same(e["uidset"], uid, "uidset")
    check("Return-Path: <jane@example.org>\r\n" in content(e)[1], "not as it was delivered")
    same(len(whole), e["messageSize"], "messageSize")
    line = world.live.raw[world.live.events.index(e)]
    same(line, json.dumps(e, sort_keys=True, separators=(",", ":")), "the canonical form")


@case("APPEND: the whole message, and no uidset")
def append(world):
    since = len(world.live.events)
    mail = message("Second")
    ok(world.cyrus.imap().append("INBOX", None, None, mail))
    e = world.live.find("MessageAppend", since)
    same(content(e)[1], mail.decode(), "content")
    check(e["uri"].endswith("/;UID=" + content(e)[0]), "another UID")
    check("uidset" not in e, "uidset")


def multiappend(imap, mailbox, mails):
    imap.send(b"M1 APPEND " + mailbox.encode())
    for mail in mails:
        imap.send(b" {%d+}\r\n" % len(mail) + mail)
    imap.send(b"\r\n")
    while True:
        line = imap.readline()
        if line.startswith(b"M1 "):
            check(line.startswith(b"M1 OK"), "MULTIAPPEND: %r" % line)
            return


@case("MULTIAPPEND of three: each event has its own message")
def multi(world):
    since = len(world.live.events)
    mails = [message("Multi %d" % n, "x" * 100 * n + "\r\n") for n in (1, 2, 3)]
    multiappend(world.cyrus.imap(), "INBOX", mails)
    events = [world.live.find("MessageAppend", since, **{
        "vnd.cmu.midset": ["<multi-%d@example.org>" % n]}) for n in (1, 2, 3)]
    for e, mail in zip(events, mails):
        same(content(e), (stored(world, e)[0], mail.decode()), "content")
    same(len({content(e)[0] for e in events}), 3, "UIDs")


@case("MULTIAPPEND of 300: the newest have their own message, the others none")
def many(world):
    since = len(world.live.events)
    mails = [message("Many %d" % n) for n in range(300)]
    multiappend(world.cyrus.imap(), "INBOX", mails)
    last = world.live.find("MessageAppend", since, **{
        "vnd.cmu.midset": ["<many-299@example.org>"]})
    events = world.live.events[since:]
    events = [e for e in events[:events.index(last) + 1] if e["event"] == "MessageAppend"]
    same(len(events), 300, "events")
    for n, e in enumerate(events):
        if n < 300 - 256:
            check("messageContent" not in e, "content of message %d" % n)
        else:
            same(content(e)[1], mails[n].decode(), "content of message %d" % n)


@case("one LMTP message to three recipients: each its own copy and UID")
def recipients(world):
    since = len(world.live.events)
    world.cyrus.deliver(message("All three"), recipients=(JOHN, JANE, MARY))
    for owner in (JOHN, JANE, MARY):
        e = world.live.wait(lambda events: [e for e in events[since:]
                                            if e["event"] == "MessageNew" and
                                            e["uri"].startswith("imap://%s@" % owner)])[0]
        uid, whole = stored(world, e)
        same(content(e), (uid, whole.decode()), "content for " + owner)
    same(len({e["uri"] for e in world.live.events[since:] if e["event"] == "MessageNew"}), 3,
         "mailboxes")


@case("after a MULTIAPPEND that was refused the next message has its own content")
def refused(world):
    imap, since = world.cyrus.imap(), len(world.live.events)
    # the second message of two is refused (a NUL in it), so neither is there
    good = message("Never there")
    imap.send(b"M2 APPEND INBOX {%d+}\r\n" % len(good) + good + b" {5+}\r\na\0b\r\n\r\n")
    line = imap.readline()
    while not line.startswith(b"M2 "):
        line = imap.readline()
    check(not line.startswith(b"M2 OK"), "accepted: %r" % line)
    mail = message("There")
    ok(imap.append("INBOX", None, None, mail))
    e = world.live.find("MessageAppend", since)
    same(content(e)[1], mail.decode(), "content")


@case("other events have none: flags, COPY, MOVE, EXPUNGE")
def others(world):
    imap, since = world.cyrus.imap(), len(world.live.events)
    imap.select("INBOX")
    imap.create("Archive")
    ok(imap.store("1", "+FLAGS", "(\\Flagged)"))
    ok(imap.copy("1", "Archive"))
    ok(imap._simple_command("MOVE", "1", "Archive"))
    ok(imap.store("1", "+FLAGS", "(\\Deleted)"))
    ok(imap.expunge())
    world.live.find("MessageExpunge", since)
    names = {e["event"] for e in world.live.events[since:]}
    for name in ("FlagsSet", "vnd.cmu.MessageCopy", "vnd.cmu.MessageMove", "MessageExpunge"):
        check(name in names, "no " + name)
    wrong = [e for e in world.live.events[since:] if "messageContent" in e]
    check(not wrong, "content in %r" % wrong[:1])


@case("CalDAV PUT: the resource as it is stored")
def caldav(world):
    if not os.path.exists("/usr/lib/cyrus/bin/httpd"):
        return
    since = len(world.live.events)
    world.cyrus.caldav_put("lunch.ics", ICS)
    e = world.live.find("MessageNew", since, service="http")
    same(e["uidset"], content(e)[0], "uidset")
    check(content(e)[1].endswith(ICS), "not the calendar object: %r" % content(e)[1][-200:])
    same(len(content(e)[1].encode()), e["messageSize"], "size")


@case("mail that is not UTF-8: valid JSON, U+FFFD for each byte that is not")
def eight_bit(world):
    imap, since = world.cyrus.imap(), len(world.live.events)
    mail = message("Latin").replace(b"utf-8", b"iso-8859-1") + \
        bytes(range(1, 10)) + bytes(range(14, 256)) + b"\xf0\x9f\x98\x80\xc3\r\n"
    ok(imap.append("INBOX", None, None, mail))
    e = world.live.find("MessageAppend", since)
    same(content(e)[1], text(mail), "content")
    check("\U0001f600" in content(e)[1], "a character that is UTF-8 is lost")


@case("3 MB, event_content_size 0: the first mboxevent_max_content bytes (1M)")
def large(world):
    since = len(world.live.events)
    world.cyrus.deliver(message("Large", ("y" * 76 + "\r\n") * 40000))
    e = world.live.find("MessageNew", since)
    uid, whole = stored(world, e)
    check(len(whole) > 3000000, "too short")
    same(content(e), (uid, whole[:1 << 20].decode()), "content")
    same(e["messageSize"], len(whole), "messageSize")


# mode, size: what of (whole, header, body) is expected
MODES = [
    ("standard", 100000, lambda w, h, b: w),
    ("standard", 100, lambda w, h, b: None),
    ("message", 0, lambda w, h, b: w),
    ("message", 50, lambda w, h, b: w[:50]),
    ("header", 0, lambda w, h, b: h),
    ("header", 30, lambda w, h, b: h[:30]),
    ("body", 0, lambda w, h, b: b),
    ("body", 10, lambda w, h, b: b[:10]),
    ("headerbody", 0, lambda w, h, b: w),
    ("headerbody", 10, lambda w, h, b: h + b[:10]),
]


@case("every mode and size, LMTP and APPEND, by the same living imapd")
def modes(world):
    for mode, size, expected in MODES:
        configure(world, mode, size)
        since = len(world.live.events)
        # another Message-ID each time: duplicates are not delivered
        world.cyrus.deliver(message("By %s %d" % (mode, size), "Twenty bytes of text\r\n"))
        imap = world.cyrus.imap()
        for n in (1, 2):  # in the same process: it lives on
            ok(imap.append("INBOX", None, None, message("Mode %d" % n, "Short\r\n" * 5)))
        for name, service in (("MessageNew", "lmtpunix"), ("MessageAppend", "imap")):
            e = world.live.find(name, since, service=service)
            uid, whole, header, body = parts(world, e)
            want = expected(whole, header, body)
            what = "%s %d %s" % (mode, size, name)
            if want is None:
                check("messageContent" not in e and "uidset" not in e, what)
            else:
                same(content(e), (uid, want.decode()), what)
                same(e.get("uidset"), uid if name == "MessageNew" else None, what)
        ok(imap.noop())
        imap.logout()
        appends = world.live.wait(lambda events: (lambda found: found if len(found) > 1 else None)(
            [e for e in events[since:] if e["event"] == "MessageAppend"]))
        same([e["pid"] for e in appends], [appends[0]["pid"]] * 2, "imapd's pid")


@case("options of one service: lmtpunix_...")
def service(world):
    configure(world, "header", 0, lmtpunix_event_content_inclusion_mode="body",
              mboxevent_max_content="1K")
    since = len(world.live.events)
    world.cyrus.deliver(message("Service", "z" * 3000 + "\r\n"))
    ok(world.cyrus.imap().append("INBOX", None, None, message("Service")))
    e = world.live.find("MessageNew", since)
    same(content(e)[1], "z" * 1024, "LMTP: the body, up to mboxevent_max_content")
    e = world.live.find("MessageAppend", since)
    check(content(e)[1].endswith("\r\n\r\n"), "APPEND: not the header alone")


@case("without messageContent in event_extra_params there is none")
def off(world):
    configure(world, event_extra_params=EXTRA_PARAMS)
    since = len(world.live.events)
    world.cyrus.deliver(message("Off"))
    e = world.live.find("MessageNew", since)
    check("messageContent" not in e and "uidset" not in e, "content: %r" % e)


@case("without the hook: stock Cyrus has no content, and in mode message imapd and lmtpd die",
      timeout=120)
def stock(world):
    cyrus = world.cyrus
    cyrus.stop()
    hook, cyrus.hook = cyrus.hook, None
    try:
        cyrus.configure({"event_extra_params": EXTRA_PARAMS + " messageContent",
                         "event_content_inclusion_mode": "standard",
                         "lmtpunix_event_content_inclusion_mode": None,
                         "event_content_size": "0"})
        cyrus.start()
        since = len(world.live.events)
        cyrus.deliver(message("Stock"))
        ok(cyrus.imap().append("INBOX", None, None, message("Stock")))
        for name in ("MessageNew", "MessageAppend"):
            e = world.live.find(name, since)
            check("messageContent" not in e, "%s has content: this test shows nothing" % name)
        cyrus.stop()
        cyrus.configure({"event_content_inclusion_mode": "message"})
        cyrus.start()
        imap = cyrus.imap()
        try:
            imap.append("INBOX", None, None, message("Deadly"))
            died = False
        except (imaplib.IMAP4.abort, OSError):
            died = True
        check(died, "stock imapd survived APPEND in mode message")
        try:
            cyrus.deliver(message("Deadly"))
            died = False
        except Exception:  # smtplib has several for a connection that is gone
            died = True
        check(died, "stock lmtpd survived a delivery in mode message")
    finally:
        cyrus.stop()
        cyrus.hook = hook
    cyrus.start()
    since = len(world.live.events)
    ok(cyrus.imap().append("INBOX", None, None, message("Alive")))
    same(content(world.live.find("MessageAppend", since))[1], message("Alive").decode(), "hooked")


case.run(setup)
