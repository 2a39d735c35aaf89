/* SPDX-License-Identifier: BSD-3-Clause */
/* Whatever a mail process does with its descriptors, rights, root and umask: never a byte of the
 * hook's into a file that is not the journal's, never a file that others can read, and what can't
 * be appended is counted. */
#include "preloaded.h"

#include "../../lib/lost.h"

#include <sys/resource.h>
#include <sys/socket.h>

static const char login[] =
    "{\"event\":\"Login\",\"user\":\"john\",\"uri\":\"imap://imap.example.org\",\"pid\":1}";

enum { NOBODY = 65534 };

#define ROOT_ONLY()                                                                                \
	do {                                                                                       \
		if (geteuid() != 0)                                                                \
			skip();                                                                    \
	} while (0)

/* Events that are there, and places where a reader passed over bytes. */
static int events(uint64_t *torn_r)
{
	struct reader *r = fixture_reader(0);
	struct record rec;
	int n = 0;
	while (reader_next(r, &rec) == 1)
		n++;
	if (torn_r)
		*torn_r = reader_damage(r)->torn;
	reader_close(&r);
	return n;
}

/* The number of the descriptor that leads into a segment; -1: none, -2: several. */
static int hooks_number(void)
{
	int found = -1;
	for (int fd = 0; fd < 256; fd++) {
		char link[64], to[256] = "";
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, to, sizeof to - 1);
		if (n > 4 && memcmp(to + n - 4, ".seg", 4) == 0)
			found = found < 0 ? fd : -2;
	}
	return found;
}

static off_t size_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

IN_CHILD(test_exec)
{
	configure("");
	event(login);
	int fd = hooks_number();
	assert_true(fd > 2);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	pid_t pid = fork();
	if (pid == 0) {
		unsetenv("LD_PRELOAD");
		execl("/bin/sh", "sh", "-c", "! ls -l /proc/self/fd | grep -q '[.]seg'", NULL);
		_exit(99);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Files opened in every way there is, put onto the very number between two appends. */
IN_CHILD(test_dup2_onto_ours)
{
	char foreign[96], lost[96];
	configure("");
	snprintf(foreign, sizeof foreign, "%s/cyrus.index", fixture_dir);
	snprintf(lost, sizeof lost, "%s/lost", fixture_dir);
	close(open(foreign, O_RDWR | O_CREAT, 0600));
	const struct {
		const char *path;
		int flags;
	} others[] = {
	    {foreign, O_RDWR},
	    {foreign, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK},
	    {lost, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK},
	    {"/dev/null", O_WRONLY},
	    {NULL, 0}, /* a socket */
	};
	enum { OTHERS = sizeof others / sizeof *others, ROUNDS = 10 };
	event(login);
	for (int n = 0; n < OTHERS * ROUNDS; n++) {
		int pair[2] = {-1, -1}, ours = hooks_number();
		assert_true(ours > 2);
		const char *path = others[n % OTHERS].path;
		off_t before = path == foreign || path == lost ? size_of(path) : 0;
		if (path)
			pair[0] = open(path, others[n % OTHERS].flags);
		else
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		assert_int_equal(dup2(pair[0], ours), ours);
		event(login);
		/* The number is the other's still, and took nothing. */
		struct stat a, b;
		assert_int_equal(fstat(ours, &a), 0);
		assert_int_equal(fstat(pair[0], &b), 0);
		assert_int_equal(a.st_ino, b.st_ino);
		if (path == foreign || path == lost)
			assert_int_equal(size_of(path), before);
		char c;
		if (!path)
			assert_int_equal(recv(pair[1], &c, 1, MSG_DONTWAIT), -1);
		close(ours);
		close(pair[0]);
		if (pair[1] >= 0)
			close(pair[1]);
	}
	assert_int_equal(size_of(foreign), 0);
	assert_int_equal(size_of(lost), 4096);
	assert_int_equal(events(NULL), OTHERS * ROUNDS + 1);
}

IN_CHILD(test_closed_each_time)
{
	configure("");
	for (int n = 0; n < 300; n++) {
		event(login);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
	}
	assert_int_equal(events(NULL), 300);
}

/* With 0 to 2 closed as well, what is printed must not become a part of the journal. */
IN_CHILD(test_standard_ones_closed)
{
	uint64_t torn;
	configure("");
	int keep = fcntl(2, F_DUPFD, 100);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	event(login);
	ssize_t n = write(2, "a message\n", 10), m = write(1, "another\n", 8);
	event(login);
	dup2(keep, 2);
	assert_int_equal(n, -1);
	assert_int_equal(m, -1);
	assert_true(hooks_number() > 2);
	assert_int_equal(events(&torn), 2);
	assert_int_equal(torn, 0);
}

IN_CHILD(test_descriptor_limit)
{
	struct rlimit rl, none;
	configure("");
	event(login);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	getrlimit(RLIMIT_NOFILE, &rl);
	none = rl;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	errno = ENOTTY;
	event(login);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
	/* It asks again after a tenth of a second; each that came too early is counted as well. */
	int lost = 1;
	for (int tries = 0; tries < 100 && events(NULL) < 2; tries++) {
		usleep(150000);
		event(login);
		lost += events(NULL) < 2;
	}
	fixture_fd = open(fixture_dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(events(NULL), 2);
	assert_int_equal(lost_total(fixture_fd), lost);
	assert_int_equal(stock_calls, 0);
}

static void same_modes(const char *dir)
{
	struct stat top, st;
	DIR *d = opendir(dir);
	const struct dirent *e;
	assert_non_null(d);
	assert_int_equal(stat(dir, &top), 0);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, "lost") != 0 && !strstr(e->d_name, ".seg"))
			continue;
		assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, top.st_mode & 0666);
		assert_int_equal(st.st_uid, top.st_uid);
		assert_int_equal(st.st_gid, top.st_gid);
	}
	closedir(d);
}

static void with_umask(mode_t mask, mode_t dir_mode)
{
	char path[96], lost[96];
	configure("mboxevent_format: native\n");
	assert_int_equal(chmod(fixture_dir, dir_mode), 0);
	/* What the hook makes itself: segments, and the counter that somebody took away. */
	snprintf(lost, sizeof lost, "%s/lost", fixture_dir);
	unlink(lost);
	umask(mask);
	for (int n = 0; n < 2000 && events(NULL) < 700; n++)
		event(login);
	uint64_t *bases;
	assert_true(segment_list(fixture_fd, &bases) > 1);
	free(bases);
	same_modes(fixture_dir);
	assert_int_equal(lost_add(fixture_fd, LOST_OTHER, 1), 0);
	same_modes(fixture_dir);
	snprintf(path, sizeof path, "%s/lost", fixture_dir);
	assert_int_equal(access(path, R_OK), 0);
}

IN_CHILD(test_umask_0)
{
	with_umask(0, 0700);
}

IN_CHILD(test_umask_0_group)
{
	with_umask(0, 0750);
}

IN_CHILD(test_umask_777)
{
	with_umask(0777, 0700);
}

static void empty_root(char path_r[96])
{
	snprintf(path_r, 96, "%s/root", fixture_dir);
	assert_int_equal(mkdir(path_r, 0755), 0);
}

/* The server's configuration isn't there: as if the hook were not either. */
IN_CHILD(chroot_before_child)
{
	char root[96];
	configure("");
	empty_root(root);
	assert_int_equal(chroot(root), 0);
	assert_int_equal(chdir("/"), 0);
	event(login);
	assert_int_equal(stock_calls, 1);
}

static void test_chroot_before(void **state)
{
	ROOT_ONLY();
	chroot_before_child(state);
	char root[96];
	snprintf(root, sizeof root, "%s/root", fixture_dir);
	assert_int_equal(rmdir(root), 0); /* nothing was made in it */
	assert_int_equal(events(NULL), 0);
}

/* The descriptor goes on until its segment is full; then events are lost, and the hook says so in
 * the next one that it can append: here none, so nothing may be written in the new root. */
IN_CHILD(chroot_between_child)
{
	char root[96];
	configure("mboxevent_format: native\n");
	event(login);
	empty_root(root);
	assert_int_equal(chroot(root), 0);
	assert_int_equal(chdir("/"), 0);
	for (int n = 0; n < 2000; n++)
		event(login);
	assert_int_equal(stock_calls, 0);
}

static void test_chroot_between(void **state)
{
	ROOT_ONLY();
	chroot_between_child(state);
	uint64_t *bases, torn;
	char root[96];
	assert_int_equal(segment_list(fixture_fd, &bases), 1);
	free(bases);
	int n = events(&torn);
	assert_true(n > 100 && n < 2001);
	assert_int_equal(torn, 0);
	snprintf(root, sizeof root, "%s/root", fixture_dir);
	assert_int_equal(rmdir(root), 0);
}

/* A tool that root runs makes files that the server's own user can use. */
IN_CHILD(owner_child)
{
	configure("mboxevent_format: native\n");
	assert_int_equal(chmod(conf_path, 0644), 0);
	char lost[96];
	snprintf(lost, sizeof lost, "%s/lost", fixture_dir);
	unlink(lost);
	assert_int_equal(chown(fixture_dir, NOBODY, NOBODY), 0);
	event(login);
	assert_int_equal(lost_add(fixture_fd, LOST_OTHER, 1), 0);
	same_modes(fixture_dir);
	/* It gives its rights up: the descriptor is good, and so is what comes after it. */
	assert_int_equal(setgid(NOBODY), 0);
	assert_int_equal(setuid(NOBODY), 0);
	for (int n = 0; n < 700; n++)
		event(login);
	same_modes(fixture_dir);
	assert_int_equal(events(NULL), 701);
	assert_int_equal(lost_total(fixture_fd), 1);
}

static void test_owner(void **state)
{
	ROOT_ONLY();
	owner_child(state);
}

/* A user without rights on the journal: nothing is made, and the server's work goes on. */
IN_CHILD(stranger_child)
{
	char conf[96];
	snprintf(conf, sizeof conf, "%s.conf", fixture_dir);
	int fd = open(conf, O_WRONLY | O_CREAT | O_EXCL, 0644);
	assert_true(fd >= 0);
	dprintf(fd, "configdirectory: /tmp\nmboxevent_journal: %s\n", fixture_dir);
	assert_int_equal(fchmod(fd, 0644), 0);
	close(fd);
	config_filename = conf;
	assert_int_equal(setgid(NOBODY), 0);
	assert_int_equal(setuid(NOBODY), 0);
	errno = ENOTTY;
	event(login);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(stock_calls, 0);
	assert_int_equal(hooks_number(), -1);
}

static void test_stranger(void **state)
{
	ROOT_ONLY();
	stranger_child(state);
	assert_int_equal(events(NULL), 0);
	char conf[96];
	snprintf(conf, sizeof conf, "%s.conf", fixture_dir);
	assert_int_equal(unlink(conf), 0);
}

int main(void)
{
	if (preload("test_descriptors") < 0)
		return 1;
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_exec),
	    T(test_dup2_onto_ours),
	    T(test_closed_each_time),
	    T(test_standard_ones_closed),
	    T(test_descriptor_limit),
	    T(test_umask_0),
	    T(test_umask_0_group),
	    T(test_umask_777),
	    T(test_chroot_before),
	    T(test_chroot_between),
	    T(test_owner),
	    T(test_stranger),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
