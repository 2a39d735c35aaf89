#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Dead letters and a real RabbitMQ: events that no queue took are sent again once one is bound."""

import json
import os
import re
import signal

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika")

from harness import World
from processes import wait_for
from rabbit import Rabbit
from tap import check, same

case = tap.Cases()

MANY = int(os.environ.get("MBOXEVENT_EACH", 3000))


def event(n):
    return {"event": "MessageRead", "uidset": str(n + 1), "user": "john@example.org",
            "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1424683682",
            "vnd.example.n": n}


def setup():
    world = World("dead-amqp", preload=False)
    try:
        world.rabbit = Rabbit(world.box)
        world.rabbit.start()
        world.cyrus.configure({
            "notifyd_sinks": "local mq", "mboxevent_retain": "1h",
            "notifyd_mq_type": "amqp", "notifyd_mq_url": world.rabbit.url(),
            "notifyd_mq_exchange": "mail.events", "notifyd_mq_from": "oldest",
            "notifyd_mq_unroutable": "dead-letter",
        })
        world.notifyd.start()
    except BaseException:
        world.close()
        raise
    return world


def status(world):
    found = json.loads(world.notifyd.ctl("status", "--json").stdout)
    return next(s for s in found["sinks"] if s["name"] == "mq")


def waiting(world):
    return status(world)["deadLetters"]["waiting"]


def bind(world, queue):
    connection = world.rabbit.connect()
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "mail.events", "#")
    connection.close()


@case("%d events that no queue takes are dead letters, in order, over one connection" % MANY,
      timeout=120 + MANY // 100)
def unroutable(world):
    world.send([event(n) for n in range(MANY)])
    wait_for("dead letters", lambda: waiting(world) == MANY, 60 + MANY // 100)
    world.letters = world.notifyd.dead("mq")
    same([x["event"]["vnd.example.n"] for x in world.letters], list(range(MANY)), "numbers")
    check("no queue" in world.letters[0]["reason"], world.letters[0]["reason"])
    same(len([x for x in world.notifyd.log().splitlines()
              if "sink=mq" in x and "dead letter" in x]), 1, "lines of the log")


@case("retry without a queue: they stay, nothing is sent twice", timeout=120 + MANY // 100)
def still(world):
    some = [x["id"] for x in world.letters[:100]]
    world.notifyd.ctl("dead-letters", "retry", "mq", *some)
    wait_for("second attempts", lambda: sum(
        x["attempts"] == 2 for x in world.notifyd.dead("mq")) == 100, 60)
    same(waiting(world), MANY, "dead letters")
    same(status(world)["deadLetters"]["retrying"], 0, "asked for")


@case("while they are sent again, status says what the connection is")
def blocked(world):
    world.rabbit.ctl("set_vm_memory_high_watermark", "0")
    world.notifyd.ctl("dead-letters", "retry", "mq", "--all")
    try:
        wait_for("a status that says so", lambda: re.search(
            "sending dead letters again: connected to .*, blocked by the broker.*memory",
            status(world)["state"]))
        same(status(world)["connection"], "blocked", "connection")
    finally:
        world.rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    wait_for("all to be tried again", lambda: status(world)["deadLetters"]["retrying"] == 0, 60)
    same(waiting(world), MANY, "dead letters")


@case("with a queue bound all come, with the same ids, bodies and order, through kill -9",
      timeout=180 + MANY // 50)
def bound(world):
    bind(world, "late")
    pid = status(world)["pid"]
    world.notifyd.ctl("dead-letters", "retry", "mq", "--all")
    wait_for("the first", lambda: waiting(world) < MANY, 60)
    os.kill(pid, signal.SIGKILL)
    wait_for("all to be sent", lambda: waiting(world) == 0, 120 + MANY // 100)
    want = [x["id"] for x in world.letters]
    got = world.rabbit.collect(
        "late", lambda got: len({p.message_id for p, _ in got}) == MANY, 60 + MANY // 100)
    firsts, bodies = [], {}
    for p, body in got:
        if p.message_id not in bodies:
            firsts.append(p.message_id)
        bodies[p.message_id] = json.loads(body)
    same(firsts, want, "message-ids")
    print("# %d of %d came twice" % (len(got) - MANY, MANY))
    for letter in world.letters:
        same(bodies[letter["id"]], letter["event"], letter["id"])


@case("new events follow")
def follow(world):
    world.send([event(MANY)])
    got = world.rabbit.collect("late", lambda got: len(got) > 0, 30)
    same([json.loads(b)["vnd.example.n"] for _, b in got], [MANY], "new")


@case("full of what no queue takes: the sink stops, passes over none, and goes on")
def full(world):
    world.rabbit.ctl("delete_queue", "late")
    world.cyrus.configure({"notifyd_mq_dead_letters": "1M"})
    world.notifyd.reload()
    many = 500
    first = MANY + 1
    world.send([dict(event(n), pad="x" * 3000) for n in range(first, first + many)])
    wait_for("a status that says so", lambda: "dead letters are full" in (
        status(world)["error"] or ""), 60)
    kept = waiting(world)
    check(200 < kept < 400, "%d are kept" % kept)
    got = [x["event"]["vnd.example.n"] for x in world.notifyd.dead("mq")]
    same(got, list(range(first, first + kept)), "those that are kept")
    world.notifyd.ctl("dead-letters", "drop", "mq", "--all")
    wait_for("the rest", lambda: waiting(world) == many - kept, 60)
    got += [x["event"]["vnd.example.n"] for x in world.notifyd.dead("mq")]
    same(got, list(range(first, first + many)), "all")


case.run(setup)
