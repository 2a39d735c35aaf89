#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""messageHeaders: sinks that want them get them, others get the journal's bytes."""

import json
import os
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

from cyrus import EXTRA_PARAMS
from harness import World
from processes import wait_for
from tap import check, same
import tour

case = tap.Cases()


def documented():
    """The documented MessageNew, a line."""
    path = os.path.join(tap.top("TOP_SRCDIR"), "tests", "data", "documented-events.jsonl")
    with open(path, encoding="utf-8") as f:
        return next(line.rstrip("\n") for line in f if '"messageHeaders"' in line)


def dumps(event):
    return json.dumps(event, sort_keys=True, separators=(",", ":"))


def event(user, content):
    return {"event": "MessageNew", "user": user, "messageContent": content,
            "uri": "imap://%s@imap.example.org/INBOX;UIDVALIDITY=1/;UID=6" % user}


def setup():
    world = World("headers", conf={"event_extra_params": EXTRA_PARAMS + " messageContent"})
    world.with_headers = world.box.at("run", "headers")
    world.cyrus.configure({
        "notifyd_sinks": "local other file",
        "notifyd_other_type": "unix", "notifyd_other_path": world.with_headers,
        "notifyd_other_headers": "yes",
        "notifyd_file_type": "log", "notifyd_file_path": world.box.at("run", "file.jsonl"),
        "notifyd_file_headers": "yes"})
    world.start()
    wait_for("the cursor of file",
             lambda: os.path.exists(world.box.at("journal", "cursors", "file")))
    world.plain = world.subscribe("plain", origin="oldest")
    world.live = world.subscribe(path=world.with_headers)
    world.durable = world.subscribe("durable", path=world.with_headers, origin="oldest")
    return world


def lines(world):
    with open(world.box.at("run", "file.jsonl"), encoding="utf-8") as f:
        return [line.rstrip("\n") for line in f]


@case("the documented MessageNew, to the byte, at a unix and at a log sink")
def golden(world):
    whole = documented()
    e = json.loads(whole)
    del e["messageHeaders"]
    world.send([e])
    world.live.find("MessageNew", user="john@example.org")
    check(whole in world.live.raw, "live: %s" % world.live.raw[-1])
    world.durable.find("MessageNew", user="john@example.org")
    same(dumps(world.durable.find("MessageNew", user="john@example.org")), whole, "durable")
    wait_for("the line in the file", lambda: whole in lines(world))
    same(dumps(world.plain.find("MessageNew", user="john@example.org")), dumps(e),
         "at a sink without headers")


@case("events without content are the journal's bytes")
def untouched(world):
    text = '{"event":"FlagsSet","flagNames":"\\\\Flagged","messages":1,' \
           '"uri":"imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1",' \
           '"user":"john@example.org"}'
    world.notifyd.ctl("send", "-", input=text + "\n")
    world.live.find("FlagsSet")
    check(text in world.live.raw, "live: %s" % world.live.raw[-1])
    wait_for("the line in the file", lambda: text in lines(world))


@case("LMTP delivery: the event has text and headers, at a sink without headers the text alone")
def delivery(world):
    world.cyrus.deliver((
        "Received: from a.example.org\r\n\tby b.example.org; Mon, 20 Oct 2014 13:32:41 +0200\r\n"
        "Date: Mon, 20 Oct 2014 13:32:41 +0200\r\n"
        "From: =?UTF-8?Q?Br=C3=BCederli=2C_Thomas?= <john@example.org>\r\n"
        "To: \"Doe, John\" <john@example.org>,\r\n jane@example.org\r\n"
        "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= of a\r\n folded subject\r\n"
        "Message-ID: <delivered@example.org>\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "\r\nSubject: of the body\r\n").encode())
    midset = {"vnd.cmu.midset": ["<delivered@example.org>"]}
    e = world.live.find("MessageNew", **midset)
    (uid, headers), = e["messageHeaders"].items()
    same(list(e["messageContent"]), [uid], "UIDs of the text")
    traces = headers.pop("Received")
    same(traces[-1],
         "from a.example.org\r\n\tby b.example.org; Mon, 20 Oct 2014 13:32:41 +0200", "Received")
    same({k: headers[k] for k in headers if not k.startswith(("X-", "Return-"))},
         {"Date": "2014-10-20T11:32:41Z", "From": ["Br\u00fcederli, Thomas <john@example.org>"],
          "To": ["Doe, John <john@example.org>", "jane@example.org"],
          "Subject": "Gr\u00fc\u00dfe of a folded subject",
          "Message-ID": "<delivered@example.org>", "Content-Type": "text/plain"}, "headers")
    plain = world.plain.find("MessageNew", **midset)
    check("messageHeaders" not in plain, "headers at the sink without")
    del e["messageHeaders"]
    same(plain, e, "the event but for its headers")
    for line in world.live.raw:
        wrong = tour.canonical(line)
        check(wrong is None, wrong)


@case("several messages in one event, and one whose headers are there already")
def several(world):
    world.send([event("several@example.org", {"6": "Subject: a\r\n\r\nx", "7": "", "8": "no field"}),
                dict(event("there@example.org", {"6": "Subject: a\r\n\r\n"}),
                     messageHeaders={"6": {"Subject": "b"}})])
    e = world.live.find("MessageNew", user="several@example.org")
    same(e["messageHeaders"], {"6": {"Subject": "a"}, "7": {}, "8": {}}, "headers")
    e = world.live.find("MessageNew", user="there@example.org")
    same(e["messageHeaders"], {"6": {"Subject": "b"}}, "headers")


@case("hostile mail: what is too much is left out and told; the sinks live on")
def hostile(world):
    mails = {
        "fields@example.org": "X: y\r\n" * 10000,
        "fold@example.org": "Subject: " + "a\r\n " * 250000,
        "long@example.org": "To: " + "a@example.org, " * 70000,
        "words@example.org": "From: " + "=?utf-8?Q?=FF?= " * 60000,
        "nothing@example.org": "(" * 100000,
        "odd@example.org": "A: \x01\u00e9\r\n\ufffd: \r\n" * 1000,
    }
    begun = time.monotonic()
    pids = set(world.notifyd.children())
    for user, mail in mails.items():
        world.send([event(user, {"6": mail})])
    for user in mails:
        e = world.live.find("MessageNew", user=user)
        check(("vnd.mboxevent.headersCut" in e) == (user[:3] not in ("not", "odd")),
              "%s: headersCut is %s" % (user, e.get("vnd.mboxevent.headersCut")))
    print("# %.2f s from the first sent to the last received" % (time.monotonic() - begun))
    for line in world.live.raw:
        wrong = tour.canonical(line)
        check(wrong is None, wrong)
    same(set(world.notifyd.children()), pids, "processes")


case.run(setup)
