#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Consumes mail events from RabbitMQ with amqp-consume (package amqp-tools) and puts each exactly
# once into an SQLite database (package sqlite3). A small program to copy.
set -eu

usage() {
	cat <<'E'
usage: consume.sh [-u URL] [-q QUEUE] [-p PREFETCH] [-k KEEP] [-d DATABASE]
Consumes mail events from a durable queue and puts each exactly once into the
table `events` (id, body) of an SQLite database. Ends on SIGTERM; comes back
after every failure of the connection or of the work.
  -u URL       amqp://guest:guest@localhost, or .../VHOST
  -q QUEUE     shell: it must be there and bound, since amqp-consume can't bind
               a durable queue. Let notifyd do it (notifyd_<sink>_queue), or
               rabbitmqadmin declare binding
  -p PREFETCH  messages under way (20)
  -k KEEP      events kept, by which one that comes again is known (100000)
  -d DATABASE  events.sqlite
amqp-consume does not hand over the message-id, so let the body have it:
notifyd_<sink>_body: with-id. Else an event is known by a hash of its text, and of
two with the same text one counts.
E
}

# One message, on standard input. Event and id are one row, on disk when sqlite3 ends. The text goes
# as hex, whatever it holds. When amqp-consume is killed as it hands one over, a piece of it arrives,
# which is no JSON; there is nobody then to acknowledge it, so the broker sends it again.
work() {
	hex=$(od -An -v -tx1 | tr -d ' \n') || return
	id=$(printf '%s' "$hex" | sha256sum) || return
	sqlite3 -bail "$CONSUME_INTO" >&2 << SQL
.timeout 10000
PRAGMA synchronous = FULL;
CREATE TEMP TABLE came AS SELECT CAST(X'$hex' AS TEXT) AS body;
BEGIN IMMEDIATE;
INSERT OR IGNORE INTO events (id, body) SELECT
	CASE WHEN json_type(body, '\$.event') = 'object' THEN
		coalesce(json_extract(body, '\$.id'), '${id%% *}') ELSE '${id%% *}' END,
	CASE WHEN json_type(body, '\$.event') = 'object' THEN json_extract(body, '\$.event')
		ELSE body END
	FROM came WHERE json_valid(body);
DELETE FROM events WHERE n <= (SELECT max(n) FROM events) - $CONSUME_KEEP;
COMMIT;
SELECT 'consume: no mail event: dropped' FROM came WHERE NOT json_valid(body);
SQL
}

if [ -n "${CONSUME_INTO-}" ]; then
	# amqp-consume acknowledges when this ends well. When it does not, amqp-consume would go on
	# without the message: it must end, so that the broker sends it again.
	work || kill "$PPID"
	exit
fi

url=amqp://guest:guest@localhost queue=shell prefetch=20 keep=100000 database=events.sqlite
while getopts u:q:p:k:d:h option; do
	case $option in
	u) url=$OPTARG ;;
	q) queue=$OPTARG ;;
	p) prefetch=$OPTARG ;;
	k) keep=$OPTARG ;;
	d) database=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 64 ;;
	esac
done

sqlite3 "$database" 'PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS events
	(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, body TEXT);' > /dev/null
CONSUME_INTO=$database
CONSUME_KEEP=$keep
export CONSUME_INTO CONSUME_KEEP
consumer=
trap '[ -z "$consumer" ] || kill "$consumer" 2> /dev/null; exit 0' INT TERM
while :; do
	amqp-consume --url="$url" --heartbeat=30 -q "$queue" -p "$prefetch" \
		"$0" < /dev/null &
	consumer=$!
	wait "$consumer" || echo "consume: amqp-consume ended with status $?: again in 2 s" >&2
	consumer=
	sleep 2 &
	wait $!
done
