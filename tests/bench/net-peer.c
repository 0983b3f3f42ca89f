/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-peer.c - both ends of the network figures: a server for the container, and the client that takes the time.
 *
 *     net-peer serve PORT
 *     net-peer measure ADDRESS PORT OPERATION COUNT     prints nanoseconds of the monotonic clock
 *
 * Operations: `in` sends COUNT bytes to the server, `out` has them from it, `echo` sends and gets back one byte COUNT
 * times, `connect` makes COUNT connections, each with one byte there and back.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char bytes[256 << 10];

static void must(int condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

static void send_all(int fd, uint64_t count)
{
	while (count) {
		ssize_t n = write(fd, bytes, count < sizeof bytes ? count : sizeof bytes);

		must(n > 0, "write");
		count -= (uint64_t)n;
	}
}

static void receive_all(int fd, uint64_t count)
{
	while (count) {
		ssize_t n = read(fd, bytes, count < sizeof bytes ? count : sizeof bytes);

		must(n > 0, "read");
		count -= (uint64_t)n;
	}
}

static void set_no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* One byte of what, eight of how many. */
static void serve_one(int fd)
{
	uint64_t count;
	char what;

	if (read(fd, &what, 1) != 1 || read(fd, &count, sizeof count) != sizeof count)
		return;
	if (what == 'i') {
		receive_all(fd, count);
		send_all(fd, 1);
	} else if (what == 'o') {
		send_all(fd, count);
	} else {
		while (count--) {
			receive_all(fd, 1);
			send_all(fd, 1);
		}
	}
}

static void serve(int port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	must(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 64) == 0,
	     "listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		must(fd >= 0, "accept");
		set_no_delay(fd);
		serve_one(fd);
		close(fd);
	}
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int dial(const struct sockaddr_in *address, char what, uint64_t count)
{
	char header[9] = { what };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memcpy(header + 1, &count, sizeof count);
	must(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0, "connect");
	set_no_delay(fd);
	must(write(fd, header, sizeof header) == sizeof header, "write");
	return fd;
}

static int measure(char **args)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[1])) };
	uint64_t count = strtoull(args[3], NULL, 10);
	char what = args[2][0];

	must(inet_pton(AF_INET, args[0], &address.sin_addr) == 1, args[0]);
	int64_t began = now();
	if (what == 'c') {
		for (uint64_t i = 0; i < count; i++) {
			int fd = dial(&address, 'e', 1);

			send_all(fd, 1);
			receive_all(fd, 1);
			close(fd);
		}
	} else {
		int fd = dial(&address, what, count);

		began = now();
		if (what == 'i') {
			send_all(fd, count);
			receive_all(fd, 1);
		} else if (what == 'o') {
			receive_all(fd, count);
		} else {
			while (count--) {
				send_all(fd, 1);
				receive_all(fd, 1);
			}
		}
		close(fd);
	}
	printf("%lld\n", (long long)(now() - began));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(atoi(argv[2]));
	if (argc == 6 && strcmp(argv[1], "measure") == 0)
		return measure(argv + 2);
	fprintf(stderr, "usage: net-peer serve PORT | measure ADDRESS PORT in|out|echo|connect COUNT\n");
	return 1;
}
