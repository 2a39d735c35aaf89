#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Consumes mail events from RabbitMQ, each exactly once, and counts them by user and event.

A small program to copy: put your own work into work(). What it writes to the database and the ids
of the messages it has seen are one transaction; only then are the messages acknowledged. So a
message that comes again, after a crash of this program, of notifyd or of the broker, is known by
its id and dropped."""

import argparse
import json
import os
import signal
import sqlite3
import sys
import time

import pika

BATCH = 100  # messages a transaction
PATIENCE = 0.2  # seconds until a smaller one is committed


def work(db, event):
    """Yours. Everything it writes to db is committed together with the message's id."""
    db.execute("INSERT INTO counts VALUES (?, ?, 1) "
               "ON CONFLICT (user, event) DO UPDATE SET n = n + 1",
               (event.get("user", ""), event["event"]))


class Store:
    """Work and ids in one database; of the ids the last `kept`, so that it does not grow. More than
    that must never lie between a message and the same one again."""

    def __init__(self, path, kept):
        self.kept = kept
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS seen (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE);
            CREATE TABLE IF NOT EXISTS counts (user TEXT, event TEXT, n INTEGER,
                                               PRIMARY KEY (user, event));""")
        # What this program committed as it was killed may not be on disk. It is seen all the same,
        # and what is seen is acknowledged: a checkpoint syncs it first.
        self.db.execute("PRAGMA wal_checkpoint").fetchall()

    def begin(self):
        if not self.db.in_transaction:
            self.db.execute("BEGIN IMMEDIATE")

    def new(self, message_id):
        """False for one that was seen; else it is seen from now on."""
        return self.db.execute("INSERT OR IGNORE INTO seen (id) VALUES (?)",
                               (message_id,)).rowcount == 1

    def commit(self):
        if self.db.in_transaction:
            self.db.execute("DELETE FROM seen WHERE n <= (SELECT max(n) FROM seen) - ?",
                            (self.kept,))
            self.db.execute("COMMIT")

    def rollback(self):
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")


def topology(channel, options):
    """The queue is the consumer's own: it outlives broker and consumer, and keeps what comes while
    this program is away."""
    channel.exchange_declare(options.exchange, "topic", durable=True)
    channel.queue_declare(options.queue, durable=True, arguments={"x-queue-type": options.type})
    for key in options.key or ["#"]:
        channel.queue_bind(options.queue, options.exchange, key)
    channel.basic_qos(prefetch_count=options.prefetch)


def take(store, properties, body):
    store.begin()
    try:
        event = json.loads(body)
        if not properties.message_id or not isinstance(event, dict) or "event" not in event:
            raise ValueError
    except ValueError:
        print("consume: a message that is no mail event is dropped", file=sys.stderr)
        return
    if store.new(properties.message_id):
        work(store.db, event)


def consume(options, store, stopping):
    parameters = pika.URLParameters(options.url)
    parameters.heartbeat = 10
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        topology(channel, options)
        last, waiting = None, 0
        for method, properties, body in channel.consume(options.queue,
                                                        inactivity_timeout=PATIENCE):
            if method:
                take(store, properties, body)
                last, waiting = method.delivery_tag, waiting + 1
            if last and (not method or waiting >= min(BATCH, options.prefetch)):
                store.commit()  # on disk before the broker may forget
                channel.basic_ack(last, multiple=True)
                last, waiting = None, 0
            if stopping and not last:
                break
    finally:
        store.rollback()  # the broker sends again what was not acknowledged
        if connection.is_open:
            connection.close()


def main():
    parser = argparse.ArgumentParser(
        description="Consumes mail events from RabbitMQ, each exactly once, and counts them by "
        "user and event in an SQLite database. Ends on SIGTERM; comes back after every failure of "
        "the connection.")
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost/"),
                        help="broker, amqp:// or amqps://; default: $AMQP_URL, which unlike this "
                        "option hides a password from others, else the guest on this machine")
    parser.add_argument("--exchange", default="mail.events", help="default: %(default)s")
    parser.add_argument("--queue", default="counter", help="durable queue; default: %(default)s")
    parser.add_argument("--type", default="quorum", choices=("quorum", "classic"),
                        help="type of the queue; default: %(default)s")
    parser.add_argument("--key", action="append",
                        help="routing key to bind, such as message.MessageNew or flags.*; several "
                        "times for several; default: # (every event)")
    parser.add_argument("--prefetch", type=int, default=200,
                        help="messages under way; default: %(default)s")
    parser.add_argument("--store", default="counts.sqlite",
                        help="database; default: %(default)s")
    parser.add_argument("--keep", type=int, default=1000000,
                        help="ids remembered; default: %(default)s")
    options = parser.parse_args()
    store = Store(options.store, options.keep)
    stopping = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(1))
    pause = 0.5
    while not stopping:
        begun = time.monotonic()
        try:
            consume(options, store, stopping)
        except (pika.exceptions.AMQPError, OSError) as e:
            pause = 0.5 if time.monotonic() - begun > 60 else min(pause * 2, 30)
            print("consume: %s: again in %g s" % (e or type(e).__name__, pause),
                  file=sys.stderr, flush=True)
            end = time.monotonic() + pause
            while not stopping and time.monotonic() < end:
                time.sleep(0.1)


if __name__ == "__main__":
    main()
