#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A broker that is restarted, killed, short of memory, or refuses: nothing is lost, the order is
kept, no other sink waits, and status says what is wrong. MBOXEVENT_EACH: events a fault."""

import json
import signal
import time

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import wait_for
from rabbit import Rabbit
from tap import check, same
from traffic import Traffic, compare, during, each, forget, now, says

case = tap.Cases()

EACH = each(4000)
LONG = 300 + EACH // 250
USER, PASSWORD = "mail", "between us"
FREE = "example.net"


def setup():
    world = World("amqp-faults")
    try:
        world.rabbit = Rabbit(world.box)
        world.rabbit.start()
        world.rabbit.ctl("add_user", USER, PASSWORD)
        permit(world)
        password = world.box.at("password")
        with open(password, "w", encoding="ascii") as f:
            f.write(PASSWORD + "\n")
        world.box.own(world.box.at("password"))
        world.box.run(["chmod", "600", password])
        world.cyrus.configure({
            "notifyd_sinks": "local mq free",
            "notifyd_mq_type": "amqp",
            "notifyd_mq_url": world.rabbit.url(USER),
            "notifyd_mq_password_file": password,
            "notifyd_mq_exchange": "mail.events",
            "notifyd_mq_queue": "indexer",
            "notifyd_mq_queue_type": "quorum",
            "notifyd_mq_users": "*@example.org",
            "notifyd_free_type": "amqp",
            "notifyd_free_url": world.rabbit.url(),
            "notifyd_free_exchange": "mail.free",
            "notifyd_free_users": "*@" + FREE,
        })
        world.notifyd.start()
        world.oracle = world.subscribe("oracle")
        exists(world, "mail.free")
        world.rabbit.queue("indexer")
        world.rabbit.settled("indexer")
        with_channel(world, lambda c: c.queue_declare(
            "late", durable=True, arguments={"x-overflow": "reject-publish"}))
    except BaseException:
        world.close()
        raise
    return world


def with_channel(world, fn):
    connection = world.rabbit.connect()
    fn(connection.channel())
    connection.close()


def exists(world, exchange):
    """The sink has declared it, so it has begun."""
    wait_for("exchange " + exchange, lambda: exchange in world.rabbit.ctl(
        "-q", "list_exchanges", "name", "--no-table-headers").split(), every=0.5)


def permit(world):
    world.rabbit.ctl("set_permissions", USER, ".*", ".*", ".*")


def forbid(world):
    """What a connection was allowed once the broker does not look up again: it must come anew."""
    world.rabbit.ctl("set_permissions", USER, ".*", "^$", ".*")
    world.rabbit.ctl("close_all_connections", "permissions were taken away")


def bind(world):
    with_channel(world, lambda c: c.queue_bind("late", "mail.free", "flags.MessageRead"))


def unbind(world):
    with_channel(world, lambda c: c.queue_unbind("late", "mail.free", "flags.MessageRead"))


def faulty(title, *words, **more):
    """A case: fn(world) breaks it and returns what heals it."""
    def add(fn):
        def run(world):
            healing = []
            during(world, title, EACH, lambda: healing.append(fn(world)),
                   lambda: healing[0](), words, **more)
        case("%s, %d events" % (title, EACH), LONG)(run)
        return fn
    return add


@case("no queue for the events", LONG)
def unroutable(world):
    bind(world)
    during(world, "no queue for the events", EACH, lambda: unbind(world), lambda: bind(world),
           ("bind one to exchange mail.free",), "free", "late", FREE)


@case("a queue that is full refuses (basic.nack)", LONG)
def nack(world):
    bind(world)
    during(world, "a queue that is full", EACH, lambda: world.rabbit.ctl(
        "set_policy", "full", "^late$", '{"max-length":10}', "--apply-to",
        "queues"), lambda: world.rabbit.ctl("clear_policy", "full"),
        ("basic.nack",), "free", "late", FREE)


def failures(world):
    told = json.loads(world.notifyd.ctl("status", "--json", check=False).stdout)
    return next(s["failures"] for s in told["sinks"] if s["name"] == "free")


def lines(world, *words):
    return sum(1 for line in world.notifyd.log().splitlines()
               if "sink=free" in line and all(w in line for w in words))


def last_incident(world):
    return [line for line in world.notifyd.log().splitlines() if "sink=free" in line and (
        " warning " in line or "delivering again" in line)][-1]


@case("a full queue whose consumer is slow is one incident, tried once a second")
def slow_consumer(world):
    wait_for("the incident before to be over", lambda: "delivering again" in last_incident(world))
    world.rabbit.ctl("set_policy", "full", "^late$", '{"max-length":50}', "--apply-to", "queues")
    forget(world)
    traffic = Traffic(world, 400, FREE)
    told, again, before = lines(world, "basic.nack"), lines(world, "delivering"), failures(world)
    begin, since, got = time.monotonic(), now(), []
    connection = world.rabbit.connect()
    channel = connection.channel()
    try:
        traffic.allow(4)
        want = traffic.ids()
        says(world, "free", "basic.nack", since=since)
        while set(want) - set(got):
            check(time.monotonic() < begin + 90, "%d of %d came" % (len(got), len(want)))
            _, properties, _ = channel.basic_get("late", auto_ack=True)
            if properties:
                got.append(properties.message_id)
            time.sleep(0.01)
    finally:
        connection.close()
        traffic.stop()
        world.rabbit.ctl("clear_policy", "full")
    seconds, times = time.monotonic() - begin, failures(world) - before
    print("# refused %d times in %.0f s" % (times, seconds), flush=True)
    compare(got, want, "a slow consumer", most=len(want), order=False)
    check(2 < times <= 3 + 2 * seconds, "refused %d times in %.0f s" % (times, seconds))
    same(lines(world, "basic.nack") - told, 1, "lines of the log that say so")
    wait_for("one that says that it is over", lambda: lines(world, "delivering") > again)
    same(lines(world, "delivering") - again, 1, "lines that say that it is over")


@faulty("the broker is restarted", "retrying", "refused")
def restarted(world):
    world.rabbit.halt(signal.SIGTERM)
    return world.rabbit.start


@faulty("the broker is killed with -9", "retrying", "refused")
def killed(world):
    world.rabbit.halt(signal.SIGKILL)
    return world.rabbit.start


# The broker tells of the alarm at the first publish: that one window may be under way.
@faulty("a memory alarm", "blocked", "memory", twice=0)
def alarm(world):
    world.rabbit.ctl("set_vm_memory_high_watermark", "0")
    return lambda: world.rabbit.ctl("set_vm_memory_high_watermark", "0.4")


@faulty("the permission is taken away", "403", "set_permissions")
def forbidden(world):
    forbid(world)
    return lambda: permit(world)


@faulty("the exchange is deleted")
def exchange_deleted(world):
    with_channel(world, lambda c: c.exchange_delete("mail.events"))
    return lambda: None


def remake(world):
    with_channel(world, lambda c: c.exchange_declare("mail.free", "topic", durable=True))
    bind(world)


@case("the exchange is deleted and made again by its admin (declare: no), %d events" % EACH, LONG)
def exchange_missing(world):
    world.cyrus.configure({"notifyd_free_declare": "no"})
    world.notifyd.stop()
    world.notifyd.start()
    during(world, "the exchange is away", EACH,
           lambda: with_channel(world, lambda c: c.exchange_delete("mail.free")),
           lambda: remake(world), ("404", "mail.free"), "free", "late", FREE)


@case("at the end both are connected")
def connected(world):
    for sink in ("mq", "free"):
        says(world, sink, "connected to 127.0.0.1:%d" % world.rabbit.port)


case.run(setup)
