/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - run every group of checks, or the ones named:  smp [--scale N] [--break] [--verbose] [GROUP]... */
#include "smp.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

int processors;
unsigned scale = 1;
bool broken;

static bool verbose;
static int checks, failures;
static cpu_set_t usable;
static time_t begin;

void judge(const char *name, uint64_t rounds, uint64_t bad, bool sure)
{
	bool good = broken ? bad || !sure : !bad;

	checks++;
	failures += !good;
	if (good && !verbose)
		return;
	printf("%s%s: %llu rounds, %llu forbidden (at %llu s)\n", good ? "" : "WRONG: ", name,
		(unsigned long long)rounds, (unsigned long long)bad, (unsigned long long)(time(NULL) - begin));
}

void mention(const char *name, uint64_t rounds, uint64_t seen, const char *what)
{
	printf("%s: %llu rounds, %llu %s\n", name, (unsigned long long)rounds, (unsigned long long)seen, what);
}

/* ---- threads ------------------------------------------------------------------------------------ */

struct thread {
	pthread_t id;
	int me;
	void (*body)(int, void *);
	void *argument;
};

static void *start(void *opaque)
{
	struct thread *t = opaque;

	t->body(t->me, t->argument);
	return NULL;
}

static int processor(int n)
{
	for (int cpu = 0;; cpu = (cpu + 1) % CPU_SETSIZE) {
		if (CPU_ISSET(cpu, &usable) && n-- == 0)
			return cpu;
	}
}

void together(int count, void (*body)(int me, void *argument), void *argument)
{
	struct thread threads[16];

	for (int i = 0; i < count; i++) {
		pthread_attr_t attributes;
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(processor(i % processors), &one);
		pthread_attr_init(&attributes);
		pthread_attr_setaffinity_np(&attributes, sizeof(one), &one);
		threads[i] = (struct thread){ .me = i, .body = body, .argument = argument };
		if (pthread_create(&threads[i].id, &attributes, start, &threads[i])) {
			perror("pthread_create");
			exit(2);
		}
		pthread_attr_destroy(&attributes);
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i].id, NULL);
}

/* ---- memory ------------------------------------------------------------------------------------- */

static uint8_t *map_file(size_t size, int protection, int file)
{
	uint8_t *p = mmap(NULL, size, protection, MAP_SHARED, file, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

void memory_make(struct memory *m, size_t pages)
{
	static const uint8_t one[] = { 0xb8, 1, 0, 0, 0, 0xc3 }; /* mov eax, 1; ret */
	size_t size = pages * PAGE;

	m->pages = pages;
	m->file = memfd_create("memory", 0);
	if (m->file < 0 || ftruncate(m->file, (off_t)size)) {
		perror("memfd");
		exit(2);
	}
	m->plain = map_file(size, PROT_READ | PROT_WRITE, m->file);
	m->again = map_file(size, PROT_READ | PROT_WRITE, m->file);
	m->swapped = map_file(size, PROT_READ | PROT_WRITE, m->file);
	for (size_t i = 0; i < pages; i++) {
		if (mmap(m->swapped + i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, m->file,
			    (off_t)((i ^ 1) * PAGE)) == MAP_FAILED) {
			perror("mmap");
			exit(2);
		}
	}
	m->code = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->code == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	for (size_t i = 0; i < pages; i++) {
		memcpy(m->code + i * PAGE, one, sizeof(one));
		run_code(m->code + i * PAGE);
	}
}

void memory_free(struct memory *m)
{
	munmap(m->plain, m->pages * PAGE);
	munmap(m->again, m->pages * PAGE);
	munmap(m->swapped, m->pages * PAGE);
	munmap(m->code, m->pages * PAGE);
	close(m->file);
}

/* ---- what to run -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "shapes", test_shapes },
	{ "atomic", test_atomic },
	{ "store", test_store },
	{ "lock", test_lock },
	{ "code", test_code },
	{ "map", test_map },
	{ "time", test_time },
};

int main(int argc, char **argv)
{
	const char *names[16];
	int named = 0;

	begin = time(NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--scale") && i + 1 < argc)
			scale = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--break"))
			broken = true;
		else if (!strcmp(argv[i], "--verbose"))
			verbose = true;
		else if (named < 16)
			names[named++] = argv[i];
	}
	if (sched_getaffinity(0, sizeof(usable), &usable)) {
		perror("sched_getaffinity");
		return 2;
	}
	processors = CPU_COUNT(&usable);
	printf("%d processors, scale %u%s\n", processors, scale, broken ? ", broken on purpose" : "");
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		bool wanted = !named;

		for (int j = 0; j < named; j++)
			wanted |= !strcmp(names[j], groups[i].name);
		if (wanted)
			groups[i].run();
	}
	printf("%d checks, %d failures\n", checks, failures);
	return failures || !checks;
}
