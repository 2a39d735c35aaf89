#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Three RabbitMQ nodes, a quorum queue with a member on each, and its leader killed with -9 while
events flow. MBOXEVENT_EACH: how many."""

import signal

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import wait_for
from rabbit import Rabbit
from tap import check, same
from traffic import Traffic, collect, compare, each, says

case = tap.Cases()

EACH = each(4000)
KILLS = 2
LONG = 300 + EACH // 250


def setup():
    world = World("amqp-cluster")
    try:
        first = Rabbit(world.box, "a")
        world.nodes = [first] + [Rabbit(world.box, name, beside=first) for name in "bc"]
        for node in world.nodes:  # one by one: two that join at once may miss each other
            node.start()
        wait_for("three nodes form a cluster", lambda: all(
            n.node in first.eval("rabbit_nodes:all_running().") for n in world.nodes), 60, 0.5)
        world.rabbit = first
        world.cyrus.configure({
            "notifyd_sinks": "local mq",
            "notifyd_mq_type": "amqp",
            "notifyd_mq_url": "amqp://guest@" + ",".join(
                "127.0.0.1:%d" % n.port for n in world.nodes) + "/",
            "notifyd_mq_exchange": "mail.events",
            "notifyd_mq_queue": "indexer",
            "notifyd_mq_queue_type": "quorum",
        })
        world.notifyd.start()
        world.oracle = world.subscribe("oracle")
        first.queue("indexer")
        for node in world.nodes:
            node.settled("indexer")
    except BaseException:
        world.close()
        raise
    return world


def leader(world):
    """The node that leads the queue, as one that runs sees it."""
    def look():
        node = next(n for n in world.nodes if n.server)
        # while none is elected it has no name
        rows = dict((r.split() + [""])[:2] for r in node.ctl(
            "-q", "list_queues", "name", "leader", "--no-table-headers").splitlines())
        return next((n for n in world.nodes if n.server and n.node == rows.get("indexer")), None)
    return wait_for("the queue has a leader", look, 60, every=0.5)


def members(world):
    """Nodes with a member of the queue that answers."""
    return len(world.rabbit.ctl("-q", "list_queues", "online", "--no-table-headers")
               .replace("[", " ").replace(",", " ").split())


@case("the queue has a member on each node")
def three(world):
    same(members(world), 3, "members online")


@case("the leader is killed with -9, %d times during %d events" % (KILLS, EACH), LONG)
def killed(world):
    traffic = Traffic(world, EACH)
    for kill in range(KILLS):
        node = leader(world)
        traffic.allow(2 * kill + 2)
        traffic.arrived(traffic.quarters(2 * kill + 1))
        node.halt(signal.SIGKILL)
        successor = leader(world)
        check(successor is not node, "the killed node leads")
        print("# %s was killed, %s leads" % (node.node, successor.node), flush=True)
        if kill + 1 < KILLS:
            node.start()
            world.rabbit = node
            wait_for("all members are back", lambda: members(world) == 3, 60, 0.5)
    want = traffic.ids()
    world.rabbit = next(n for n in world.nodes if n.server)
    compare(collect(world.rabbit, "indexer", want, LONG), want, "leader killed",
            most=KILLS + 2)
    says(world, "mq", "connected to 127.0.0.1:")


case.run(setup, 400)
