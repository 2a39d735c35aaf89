#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A broker that is killed, short of memory, or has no queue for an event: nothing is lost."""

import signal
import threading
import time

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import wait_for
from rabbit import Rabbit
from tap import check, same

case = tap.Cases()

MANY = 20000
CHUNK = 500
FEW = 2000


def setup():
    world = World("amqp-faults")
    try:
        world.rabbit = Rabbit(world.box)
        world.rabbit.start()
        world.cyrus.configure({
            "notifyd_sinks": "local mq free",
            "notifyd_mq_type": "amqp",
            "notifyd_mq_url": world.rabbit.url(),
            "notifyd_mq_exchange": "mail.events",
            "notifyd_mq_queue": "indexer",
            "notifyd_mq_queue_type": "quorum",
            "notifyd_mq_users": "*@example.org",
            "notifyd_free_type": "amqp",
            "notifyd_free_url": world.rabbit.url(),
            "notifyd_free_exchange": "mail.free",
            "notifyd_free_users": "*@example.net",
        })
        world.notifyd.start()
        world.oracle = world.subscribe("oracle")
        exists(world, "mail.events")
        exists(world, "mail.free")
        world.rabbit.queue("indexer")
        world.rabbit.settled("indexer")
    except BaseException:
        world.close()
        raise
    return world


def exists(world, exchange):
    """The sink has declared it, so it has begun."""
    wait_for("exchange " + exchange, lambda: exchange in world.rabbit.ctl(
        "-q", "list_exchanges", "name", "--no-table-headers").split(), 20, every=0.5)


def send(world, first, count, domain="example.org"):
    """In chunks. The ids they got, in order, as the unix sink tells them."""
    since = len(world.oracle.ids)
    for start in range(first, first + count, CHUNK):
        world.send([{"event": "MessageRead", "user": "john@" + domain, "uidset": str(n + 1),
                     "uri": "imap://john@%s@imap.example.org/INBOX;UIDVALIDITY=1" % domain,
                     "vnd.example.n": n}
                    for n in range(start, min(start + CHUNK, first + count))])
    world.oracle.wait(lambda e: len(e) >= since + count, 60)
    return world.oracle.ids[since:since + count]


def compare(got, want):
    """Nothing lost, order kept by what is new; duplicates are counted."""
    ids = [p.message_id for p, _ in got]
    missing = set(want) - set(ids)
    check(not missing, "lost %d of %d, one of them %s"
          % (len(missing), len(want), sorted(missing)[:1]))
    known = set(want)
    same([i for i in dict.fromkeys(ids) if i in known], want, "order")
    print("# lost 0 of %d, %d sent twice" % (len(want), len(ids) - len(set(ids))))
    return len(ids) - len(set(ids))


def collect(world, queue, want, timeout):
    """Until all are there, or nothing new comes."""
    missing, seen = set(want), 0

    def done(got):
        nonlocal seen
        for p, _ in got[seen:]:
            missing.discard(p.message_id)
        seen = len(got)
        return not missing
    return world.rabbit.collect(queue, done, timeout)


@case("killed with -9 and started again during %d events" % MANY, 240)
def killed(world):
    sent = []
    producer = threading.Thread(target=lambda: sent.extend(send(world, 0, MANY)))
    producer.start()
    since = len(world.oracle.ids)
    wait_for("a quarter is sent", lambda: len(world.oracle.ids) > since + MANY // 4, 60)
    world.rabbit.stop(signal.SIGKILL)
    world.rabbit.start()
    producer.join()
    same(len(sent), MANY, "events accepted")
    compare(collect(world, "indexer", sent, 120), sent)


@case("a memory alarm: nothing is sent while it lasts, all of it afterwards", 150)
def alarm(world):
    world.rabbit.ctl("set_vm_memory_high_watermark", "0")
    want = send(world, MANY, FEW)
    # The broker tells of the alarm at the first publish: that one window may be under way.
    wait_for("the sink tells that it is blocked", lambda: "blocked" in world.notifyd.ctl(
        "status", check=False).stdout, 20, every=0.5)
    world.rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    same(compare(collect(world, "indexer", want, 60), want), 0, "sent twice")


@case("no queue for the event: it waits, and goes when one is bound", 150)
def unroutable(world):
    want = send(world, MANY + FEW, FEW, "example.net")
    wait_for("the sink tells what to do", lambda: "bind one to exchange mail.free"
             in world.notifyd.ctl("status", check=False).stdout, 20, every=0.5)
    connection = world.rabbit.connect()
    channel = connection.channel()
    channel.queue_declare("late", durable=True)  # classic: refuses at once when full
    channel.queue_bind("late", "mail.free", "flags.MessageRead")
    connection.close()
    same(compare(collect(world, "late", want, 60), want), 0, "sent twice")


@case("its exchange is deleted: it is made anew", 120)
def exchange_deleted(world):
    connection = world.rabbit.connect()
    connection.channel().exchange_delete("mail.events")
    connection.close()
    want = send(world, MANY + 2 * FEW, FEW)
    compare(collect(world, "indexer", want, 60), want)


@case("a queue that is full refuses (nack): it is tried again until there is room", 150)
def nack(world):
    world.rabbit.ctl("set_policy", "full", "^late$",
                     '{"max-length":10,"overflow":"reject-publish"}', "--apply-to", "queues")
    want = send(world, MANY + 3 * FEW, 100, "example.net")
    wait_for("the sink tells that it was refused", lambda: "basic.nack" in world.notifyd.ctl(
        "status", check=False).stdout, 30, every=0.5)
    time.sleep(1)
    world.rabbit.ctl("clear_policy", "full")
    compare(collect(world, "late", want, 90), want)


case.run(setup, 180)
