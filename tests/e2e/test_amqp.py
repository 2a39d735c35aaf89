#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A hooked Cyrus, notifyd and a real RabbitMQ: every event, once identified, in a quorum queue."""

import json

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2",
         rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika")

from cyrus import message, ok
from harness import World, real
from processes import wait_for
from rabbit import Rabbit
from tap import check, same

case = tap.Cases()
MANY = 5000


def setup():
    world = World("amqp")
    try:
        world.rabbit = Rabbit(world.box)
        world.rabbit.begin()
        world.cyrus.configure({
            "notifyd_sinks": "broken local mq",
            "notifyd_mq_type": "amqp",
            "notifyd_mq_url": world.rabbit.url(),
            "notifyd_mq_exchange": "mail.events",
            "notifyd_mq_queue": "indexer",
            "notifyd_mq_queue_type": "quorum",
            "notifyd_broken_type": "amqp",
            "notifyd_broken_url": "amqp://guest@nowhere.invalid/",
            "notifyd_broken_exchange": "mail.events",
        })
        world.start()  # the broker is not up yet: the sink must wait for it
        world.durable = world.subscribe("beside")
        world.live = world.subscribe()
        world.rabbit.ready()
    except BaseException:
        world.close()
        raise
    world.got = []
    return world


@case("the tour's events, emitted while the broker starts, come to the unix sink at once")
def walk(world):
    world.walk(world.live)


@case("%d events more" % MANY)
def many(world):
    world.send([{"event": "MessageRead", "user": "john@example.org", "uidset": str(n),
                 "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1",
                 "vnd.example.n": n} for n in range(MANY)])
    world.durable.wait(lambda e: sum("vnd.example.n" in x for x in e) == MANY)


@case("a consumer of the quorum queue gets every event")
def consume(world):
    want = set(world.durable.ids)
    world.rabbit.queue("indexer")
    world.got = world.rabbit.collect(
        "indexer", lambda got: want <= {p.message_id for p, _ in got}, 120)
    missing = want - {p.message_id for p, _ in world.got}
    check(not missing, "%d of %d events are missing, one of them %s"
          % (len(missing), len(want), sorted(missing)[:1]))


def some(world):
    check(len(world.got) > MANY, "only %d messages came" % len(world.got))


@case("message-ids are unique and those of the journal")
def unique(world):
    some(world)
    ids = [p.message_id for p, _ in world.got]
    same(len(ids), len(set(ids)), "distinct message-ids")


@case("bodies and order are those of the journal")
def bodies(world):
    some(world)
    by_id = dict(zip(world.durable.ids, world.durable.events))
    for p, body in world.got:
        if p.message_id in by_id:
            same(json.loads(body), by_id[p.message_id], "body of %s" % p.message_id)
    got = [p.message_id for p, _ in world.got if p.message_id in by_id]
    same(got, sorted(got), "order")


@case("properties: type, content type, persistent")
def properties(world):
    some(world)
    for p, body in world.got[:100]:
        same((p.type, p.content_type, p.delivery_mode),
             (json.loads(body)["event"], "application/json", 2), "properties")


@case("the queue is a quorum queue and is empty now")
def queue(world):
    rows = [r.split() for r in world.rabbit.ctl(
        "-q", "list_queues", "name", "type", "--no-table-headers").splitlines()]
    check(["indexer", "quorum"] in rows, "rabbitmqctl lists %r" % rows)
    connection = world.rabbit.connect()
    channel = connection.channel()
    wait_for("no message is left", lambda: channel.queue_declare(
        "indexer", passive=True).method.message_count == 0)
    connection.close()


@case("a broker that goes away and comes back: nothing is lost, IMAP does not notice")
def restart(world):
    world.rabbit.ctl("stop_app")
    since = len(world.durable.events)
    john = world.cyrus.imap()
    for n in range(20):
        ok(john.append("INBOX", None, None, message("Broker down %d" % n)))
    john.logout()
    world.durable.wait(lambda e: sum(x["event"] == "MessageAppend" for x in e[since:]) == 20)
    world.rabbit.ctl("start_app")
    want = set(world.durable.ids[since:])
    got = world.rabbit.collect("indexer", lambda got: want <= {p.message_id for p, _ in got}, 60)
    check(want <= {p.message_id for p, _ in got}, "%d of %d came"
          % (len(want & {p.message_id for p, _ in got}), len(want)))


@case("status tells that one sink is broken, and why")
def status(world):
    text = world.notifyd.ctl("status", check=False).stdout
    check("broken" in text and "nowhere.invalid" in text, text)
    check(real(world.live.events), "no event")


case.run(setup)
