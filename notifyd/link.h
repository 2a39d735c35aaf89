/* SPDX-License-Identifier: BSD-3-Clause */
/* What supervisor and children say to each other, a byte each on a socket pair. The end of
 * file says that the other is gone. */
#ifndef NOTIFYD_LINK_H
#define NOTIFYD_LINK_H

enum link_byte {
	LINK_ALIVE = 'h',  /* child: at least every LINK_BEAT_MS */
	LINK_READY = 'r',  /* child: its sockets are there, its first connection made or failed */
	LINK_IDLE = 'i',   /* child: has read everything; wake me when there is more */
	LINK_LOOK = 'w',   /* supervisor: look at the journal (also the answer to LINK_IDLE, once
	                      the watch stands, so that nothing falls in between) */
	LINK_STOP = 't',   /* supervisor: finish what is under way and exit */
	LINK_REOPEN = 'u', /* supervisor: reopen files */
};

#define LINK_BEAT_MS 2000

#endif
