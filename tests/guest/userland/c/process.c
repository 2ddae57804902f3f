/* SPDX-License-Identifier: GPL-2.0-or-later */
/* process.c - processes: fork, exec, pipes, statuses, shared and copied memory. */
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void children(void)
{
	uint64_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t copied[1000];
	for (int i = 0; i < 1000; i++)
		copied[i] = i;
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		if (!child) {
			for (int j = 0; j < 1000; j++)
				copied[j] += i;
			shared[i] = digest(copied, sizeof(copied));
			_exit(i);
		}
		int status;
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), i);
		CHECK_EQ(copied[500], 500);
	}
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(shared[i], digest(copied, sizeof(copied)));
		for (int j = 0; j < 1000; j++)
			copied[j]++;
	}
	munmap(shared, 4096);
}

static void signalled(void)
{
	pid_t child = fork();
	if (!child)
		abort();
	int status;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGABRT);
}

/* Much more than a pipe holds, there and back. */
static void pipes(void)
{
	int there[2], back[2];
	CHECK_EQ(pipe(there), 0);
	CHECK_EQ(pipe(back), 0);
	pid_t child = fork();
	if (!child) {
		char buffer[777];
		close(there[1]);
		for (ssize_t got; (got = read(there[0], buffer, sizeof(buffer))) > 0;) {
			for (ssize_t i = 0; i < got; i++)
				buffer[i] ^= 0x5a;
			for (ssize_t done = 0; done < got;)
				done += write(back[1], buffer + done, got - done);
		}
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	enum { TOTAL = 400000 };
	static uint8_t sent[TOTAL], got[TOTAL];
	uint64_t seed = 13;
	for (int i = 0; i < TOTAL; i++)
		sent[i] = (uint8_t)next_random(&seed);
	size_t out = 0, in = 0;
	while (in < TOTAL) {
		struct pollfd ends[] = { { .fd = back[0], .events = POLLIN },
			{ .fd = out < TOTAL ? there[1] : -1, .events = POLLOUT } };
		poll(ends, 2, -1);
		if (ends[1].revents & POLLOUT)
			out += write(there[1], sent + out, TOTAL - out < 4096 ? TOTAL - out : 4096);
		if (out == TOTAL && there[1] >= 0) {
			close(there[1]);
			there[1] = -1;
		}
		if (ends[0].revents & (POLLIN | POLLHUP)) {
			ssize_t more = read(back[0], got + in, TOTAL - in);
			if (more <= 0)
				break;
			in += more;
		}
	}
	CHECK_EQ(in, TOTAL);
	for (int i = 0; i < TOTAL; i++)
		got[i] ^= 0x5a;
	CHECK(!memcmp(sent, got, TOTAL));
	waitpid(child, NULL, 0);
	close(back[0]);
}

static void programs(void)
{
	char text[100] = "";
	FILE *shell = popen("echo $((6 * 7)); exit 3", "r");
	CHECK(fgets(text, sizeof(text), shell) != NULL);
	CHECK_STR(text, "42\n");
	CHECK_EQ(WEXITSTATUS(pclose(shell)), 3);
}

void test_process(void)
{
	fflush(stdout);
	children();
	signalled();
	pipes();
	programs();
}
