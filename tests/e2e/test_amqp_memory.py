#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A backlog that was made with the broker away is drained, and the sink's memory stays what it was.
MBOXEVENT_EACH: a fiftieth of its events."""

import json

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

import subprocess
import time

from harness import World
from processes import pss, wait_for
from rabbit import Rabbit
from tap import check, same
from traffic import each

case = tap.Cases()

BACKLOG = 50 * each(2000)
CHUNK = 1000
MORE = 5  # MB: others that end leave their share of common pages; kept events would be 30 and more


def setup():
    world = World("amqp-memory", preload=False)
    try:
        world.rabbit = Rabbit(world.box)
        world.rabbit.start()
        connection = world.rabbit.connect()  # nobody consumes: what it keeps must be bounded
        channel = connection.channel()
        channel.exchange_declare("mail.events", "topic", durable=True)
        channel.queue_declare("last", durable=True, arguments={"x-max-length": 1000})
        channel.queue_bind("last", "mail.events", "#")
        connection.close()
        world.cyrus.configure({
            "notifyd_sinks": "mq", "mboxevent_max_size": "64G", "mboxevent_min_free": "0",
            "notifyd_mq_type": "amqp", "notifyd_mq_url": world.rabbit.url()})
        world.notifyd.start()
    except BaseException:
        world.close()
        raise
    return world


def mq(world):
    told = json.loads(world.notifyd.ctl("status", "--json", check=False).stdout)
    return next((s for s in told["sinks"] if s["name"] == "mq"), {"state": ""})


def event(n):
    return {"event": "MessageRead", "uidset": str(n + 1), "user": "john@example.org",
            "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1424683682",
            "vnd.example.n": n, "vnd.example.pad": "x" * 300}


@case("%d events made with the broker away, then drained in flat memory" % BACKLOG,
      120 + BACKLOG // 2000)
def away(world):
    wait_for("the sink has begun", lambda: mq(world)["state"].startswith("connected"))
    world.send([event(0)])
    wait_for("the first", lambda: mq(world)["delivered"] == 1)
    world.rabbit.halt()
    wait_for("the broker is missed", lambda: "refused" in mq(world)["state"], every=0.2)
    send = world.box.start("send", [world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "send",
                                    "-"], user=world.box.user, stdin=subprocess.PIPE)
    for first in range(1, BACKLOG, CHUNK):
        send.stdin.write("".join(json.dumps(event(n)) + "\n" for n in range(
            first, min(first + CHUNK, BACKLOG))).encode())
    send.stdin.close()
    same(send.wait(60), 0, "exit status of notifyctl send")
    down = pss(world.notifyd.worker("mq"))
    world.rabbit.start()
    begin, samples = time.monotonic(), []
    while mq(world)["delivered"] < BACKLOG:
        check(time.monotonic() < begin + 60 + BACKLOG / 2000, "only %s" % mq(world))
        samples.append(pss(world.notifyd.worker("mq") or 0))
        time.sleep(0.05)
    seconds = time.monotonic() - begin
    samples = samples[len(samples) // 5:]
    print("# drained in %.0f s; PSS of the worker: %.1f MB before, then %.1f to %.1f MB (%d looks)"
          % (seconds, down, min(samples), max(samples), len(samples)), flush=True)
    check(len(samples) >= 10, "only %d looks" % len(samples))
    check(max(samples) < min(samples) + MORE, "memory grows while it drains")
    check(max(samples) < down + MORE, "memory is more than with the broker away")
    same(mq(world)["deadLetters"]["waiting"], 0, "dead letters")


case.run(setup)
