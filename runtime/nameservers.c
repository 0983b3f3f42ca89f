/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/nameservers.h"

#include "common/auto.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 64 << 10 };

/* At most TEXT_MAX bytes, ended with a zero; NULL: nothing. */
static char *read_text(int fd)
{
	char *text = fd >= 0 ? malloc(TEXT_MAX + 1) : NULL;
	size_t have = 0;

	if (!text)
		return NULL;
	while (have < TEXT_MAX) {
		ssize_t n = pread(fd, text + have, TEXT_MAX - have, (off_t)have);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	text[have] = '\0';
	return text;
}

static bool is_loopback(uint32_t address)
{
	return ntohl(address) >> 24 == IN_LOOPBACKNET;
}

/* "nameserver", spaces, an address, and perhaps more, as resolv.conf(5) has it. */
static bool read_nameserver(const char *line, uint32_t *address)
{
	static const char keyword[] = "nameserver";
	char word[INET_ADDRSTRLEN];
	size_t length = 0;

	if (strncmp(line, keyword, sizeof keyword - 1) != 0)
		return false;
	line += sizeof keyword - 1;
	if (*line != ' ' && *line != '\t')
		return false;
	line += strspn(line, " \t");
	while (length < sizeof word - 1 && line[length] && !isspace((unsigned char)line[length])) {
		word[length] = line[length];
		length++;
	}
	word[length] = '\0';
	return inet_pton(AF_INET, word, address) == 1;
}

/* /proc/net/udp: a heading, then "  N: ADDRESS:PORT ...", the address in hexadecimal as it lies in memory. */
static bool is_bound(const char *sockets, uint32_t address)
{
	for (const char *line = sockets; line; line = strchr(line, '\n')) {
		unsigned bound, port;

		line += *line == '\n';
		if (sscanf(line, " %*u: %8x:%4x", &bound, &port) == 2 && bound == address)
			return true;
	}
	return false;
}

void nameservers_find(int conf_fd, int sockets_fd, struct nameservers *out)
{
	auto_free char *conf = read_text(conf_fd);
	auto_free char *sockets = NULL;
	uint32_t address;

	out->count = 0;
	for (const char *line = conf; line && out->count < NAMESERVERS_MAX; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!read_nameserver(line, &address) || !is_loopback(address) || nameservers_have(out, address))
			continue;
		if (!sockets)
			sockets = read_text(sockets_fd);
		if (sockets && is_bound(sockets, address))
			out->addresses[out->count++] = address;
	}
}

bool nameservers_have(const struct nameservers *nameservers, uint32_t address)
{
	for (size_t i = 0; i < nameservers->count; i++)
		if (nameservers->addresses[i] == address)
			return true;
	return false;
}

bool nameservers_are_same(const struct nameservers *one, const struct nameservers *other)
{
	return one->count == other->count &&
	       memcmp(one->addresses, other->addresses, one->count * sizeof one->addresses[0]) == 0;
}

int nameservers_open_sockets(void)
{
	/* Shows the namespace of whoever opens it, for as long as it is open. */
	return open("/proc/thread-self/net/udp", O_RDONLY | O_CLOEXEC);
}
