/* SPDX-License-Identifier: BSD-3-Clause */
#include "losses.h"

const struct loss losses[LOST_REASONS] = {
    [LOST_UNKNOWN] = {"unknown", "a hook or notifyd of before there were reasons counted them",
                      "the log of the mail processes says why; restart Cyrus after an upgrade"},
    [LOST_NO_SPACE] = {"no_space", "no space was left on the journal's file system",
                       "make room there, or move the journal to a larger one "
                       "(mboxevent_journal)"},
    [LOST_QUOTA] = {"quota", "the disk quota of the journal's owner was used up",
                    "raise it (setquota)"},
    [LOST_MAX_SIZE] = {"max_size", "the journal was full (mboxevent_max_size)",
                       "see which sink is behind (notifyctl status) and mend it, or raise "
                       "mboxevent_max_size"},
    [LOST_MIN_FREE] = {"min_free",
                       "the journal's file system had less room than mboxevent_min_free",
                       "make room there, or lower mboxevent_min_free"},
    [LOST_PERMISSION] = {"permission", "a mail process was not allowed to write in the journal",
                         "see that the directory and all in it belong to the user that Cyrus "
                         "runs as (chown -R)"},
    [LOST_NO_DIRECTORY] = {"no_directory", "the journal's directory was missing",
                           "start notifyd, which makes it, before Cyrus"},
    [LOST_FILE_SIZE_LIMIT] = {"file_size_limit",
                              "a mail process may not write files as long as a segment",
                              "raise its limit (LimitFSIZE in the unit of Cyrus, ulimit -f)"},
    [LOST_DESCRIPTORS] = {"descriptors", "a mail process had no file descriptor left",
                          "raise its limit (LimitNOFILE in the unit of Cyrus, maxfds in "
                          "cyrus.conf)"},
    [LOST_IO_ERROR] = {"io_error",
                       "the disk of the journal failed, or its file system was read-only",
                       "see the log of the kernel; mail is in danger too"},
    [LOST_TOO_LARGE] = {"too_large", "they were longer than 32 MB", "lower mboxevent_max_content"},
    [LOST_MEMORY] = {"memory", "a mail process had no memory left",
                     "raise its limit (LimitAS, MemoryMax), or add memory"},
    [LOST_VERSION] = {"version", "the hook did not know the version of the journal's directory",
                      "install the hook and notifyd of one version, then restart Cyrus"},
    [LOST_INCOMPLETE] = {"incomplete",
                         "the program that emitted them left a parameter out (see mbev(3))",
                         "report it to its maker; its own log may say which"},
    [LOST_OTHER] = {"other", "something rare kept them out",
                    "the log of the mail processes says what"},
};
