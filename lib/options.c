/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf.h"

#define MS   INT64_C(1)
#define HOUR (3600 * 1000 * MS)
#define DAY  (24 * HOUR)
#define KB   INT64_C(1024)
#define GB   (KB * KB * KB)

const struct conf_option mboxevent_options[] = {
    {"mboxevent_journal", CONF_PATH, "/var/spool/mboxevent", 0, 0, NULL, NULL,
     "Directory of the journal, on a local file system. Its owner, group and mode are those of "
     "the files made in it."},
    {"mboxevent_format", CONF_ENUM, "documented", 0, 0, "documented|native", NULL,
     "Form of the JSON in the journal: as the documentation of Cyrus IMAP shows it, or just as "
     "the server wrote it."},
    {"mboxevent_modseq", CONF_SWITCH, "no", 0, 0, NULL, NULL,
     "Whether MailboxModseq events, one for every change of any mailbox, are kept."},
    {"mboxevent_max_content", CONF_SIZE, "1M", KB, 16 * KB *KB, NULL, "bytes",
     "The most bytes of a message that go into messageContent, also where event_content_size is "
     "0 or larger."},
    {"mboxevent_sync", CONF_DURATION, "200ms", 10 * MS, HOUR, "always", "ms",
     "How often the journal is forced to disk while notifyd runs. With the word always each "
     "mail process does so for each event before it goes on."},
    {"mboxevent_segment_size", CONF_SIZE, "64M", 64 * KB, GB, NULL, "bytes",
     "Size at which a segment of the journal is sealed and the next one begun."},
    {"mboxevent_max_size", CONF_SIZE, "auto", 128 * KB, KB *KB *GB, "auto", "bytes",
     "Size of the whole journal above which new events are refused and counted as lost. With "
     "the word auto: the smaller of 4 GB and a tenth of the file system."},
    {"mboxevent_min_free", CONF_INT, "5", 0, 50, NULL, "per cent",
     "Share of the file system that the journal leaves free: with less, new events are refused "
     "and counted as lost."},
    {"mboxevent_retain", CONF_DURATION, "0", 0, 365 * DAY, NULL, "s",
     "How long events are kept for replay after every sink has delivered them, while the journal "
     "is not short of room."},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};
