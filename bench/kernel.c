/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench/kernel.c - see work.h. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/work.h"

uint64_t work_syscall(void)
{
	uint64_t same = 0;
	long parent = syscall(SYS_getppid);
	for (int i = 0; i < 2000000; i++)
		same += syscall(SYS_getppid) == parent;
	return same;
}

/* A byte back and forth between two processes. */
uint64_t work_pipe(void)
{
	int there[2], back[2];
	if (pipe(there) || pipe(back))
		return 0;
	uint64_t sum = 0;
	uint8_t byte = 0;
	pid_t child = fork();
	if (!child) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &(uint8_t){ byte + 1 }, 1) == 1)
			;
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	for (int i = 0; i < 100000 && write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1; i++)
		sum += byte;
	close(there[1]);
	close(back[0]);
	waitpid(child, NULL, 0);
	return sum;
}

/* This very program, started to do nothing (main.c). */
uint64_t work_process(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < 400; i++) {
		pid_t child = fork();
		if (!child) {
			execl("/proc/self/exe", "serai-bench", "--nothing", (char *)NULL);
			_exit(1);
		}
		int status;
		if (waitpid(child, &status, 0) == child && WIFEXITED(status))
			sum += WEXITSTATUS(status);
	}
	return sum;
}

/* Fresh pages, and pages copied after a fork. */
uint64_t work_fault(void)
{
	enum { SIZE = 8 << 20, PAGE = 4096 };
	uint64_t sum = 0;
	for (int round = 0; round < 120; round++) {
		uint8_t *area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		madvise(area, SIZE, MADV_NOHUGEPAGE);
		for (int at = 0; at < SIZE; at += PAGE)
			area[at] = (uint8_t)(at / PAGE);
		mprotect(area, SIZE, PROT_READ);
		for (int at = 0; at < SIZE; at += 16 * PAGE)
			sum += area[at];
		munmap(area, SIZE);
	}
	return sum;
}

/* Many small files in a file system in memory. */
uint64_t work_file(void)
{
	uint64_t sum = 0;
	char name[64], text[4096] = { 1, 2, 3 };
	for (int i = 0; i < 60000; i++) {
		snprintf(name, sizeof(name), "/dev/shm/serai-bench.%d.%d", (int)getpid(), i % 100);
		int file = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
		if (file < 0)
			return 0;
		text[i % 4096]++;
		sum += write(file, text, sizeof(text));
		sum += pread(file, text, sizeof(text), 0) * (uint8_t)text[i % 100];
		close(file);
		unlink(name);
	}
	return sum;
}

static volatile uint64_t caught;

static void count(int number)
{
	caught += number;
}

uint64_t work_signal(void)
{
	signal(SIGUSR1, count);
	caught = 0;
	for (int i = 0; i < 150000; i++)
		kill(getpid(), SIGUSR1);
	return caught;
}
