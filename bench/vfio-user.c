/*
 * Either end of the comparison in vfio-user.ts:
 *   vfio-user echo PATH            a server that does nothing but answer 32 bytes with 36, the sizes of a vfio-user
 *                                  REGION_READ of 4 bytes and its reply
 *   vfio-user client A B OPS       one client of both: blocks of reads in turn, each timed; A speaks vfio-user
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 32, REPLY = 36, BLOCK = 500 };

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	return a;
}

static int full_read(int fd, void *to, size_t length)
{
	size_t have = 0;
	while (have < length) {
		ssize_t n = read(fd, (char *)to + have, length - have);
		if (n <= 0)
			return 0;
		have += n;
	}
	return 1;
}

static int echo(const char *path)
{
	struct sockaddr_un a = address(path);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	char buffer[64] = { 0 };
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 1))
		fail("echo");
	puts("ready");
	fflush(stdout);
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		fail("accept");
	while (full_read(fd, buffer, REQUEST))
		if (write(fd, buffer, REPLY) != REPLY)
			fail("write");
	return 0;
}

static int dial(const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		fail(path);
	return fd;
}

struct header {
	uint16_t id, command;
	uint32_t size, flags, error;
};

static void negotiate(int fd)
{
	struct {
		struct header header;
		uint16_t major, minor;
	} request = { { 1, 1, 20, 0, 0 }, 0, 0 };
	char reply[4096];
	if (write(fd, &request, 20) != 20 || !full_read(fd, reply, sizeof(struct header)))
		fail("VERSION");
	uint32_t size = ((struct header *)reply)->size;
	if (size > sizeof(reply) || !full_read(fd, reply, size - sizeof(struct header)))
		fail("VERSION");
}

static uint32_t once(int fd, uint16_t id, int check)
{
	struct {
		struct header header;
		uint64_t offset;
		uint32_t region, count;
	} request = { { id, 9, REQUEST, 0, 0 }, 0, 0, 4 };
	char reply[REPLY];
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (write(fd, &request, REQUEST) != REQUEST || !full_read(fd, reply, REPLY))
		fail("read");
	clock_gettime(CLOCK_MONOTONIC, &b);
	struct header *h = (struct header *)reply;
	if (check && (h->id != id || h->size != REPLY || h->flags != 1)) {
		fprintf(stderr, "bad reply\n");
		exit(1);
	}
	return (b.tv_sec - a.tv_sec) * 1000000000ull + b.tv_nsec - a.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void report(const char *name, uint32_t *times, size_t n)
{
	qsort(times, n, sizeof(*times), ascending);
	printf("\"%s\":{\"min\":%u,\"p50\":%u,\"p90\":%u,\"p99\":%u}", name, times[0], times[n / 2], times[n * 9 / 10],
	       times[n * 99 / 100]);
}

static int client(const char *served, const char *echoed, size_t operations)
{
	int fds[2] = { dial(served), dial(echoed) };
	uint32_t *times[2];
	size_t n = (operations + BLOCK - 1) / BLOCK * BLOCK;
	negotiate(fds[0]);
	for (int which = 0; which < 2; which++) {
		times[which] = malloc(n * sizeof(uint32_t));
		for (size_t i = 0; i < 20000; i++)
			once(fds[which], i, which == 0);
	}
	for (size_t done = 0; done < n; done += BLOCK)
		for (int which = 0; which < 2; which++)
			for (size_t i = done; i < done + BLOCK; i++)
				times[which][i] = once(fds[which], i, which == 0);
	printf("{");
	report("vfioUser", times[0], n);
	printf(",");
	report("echo", times[1], n);
	printf("}\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "echo"))
		return echo(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "client"))
		return client(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	fprintf(stderr, "usage: vfio-user echo PATH | client PATH PATH OPS\n");
	return 2;
}
