// SPDX-License-Identifier: GPL-2.0-only
/* QEMU's monitor, seen from the machine that QEMU runs: QMP over a virtio serial port. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"

#define PORT		"/dev/virtio-ports/lab.monitor"
#define DEVICE		"/machine/peripheral/dsa0"
#define PATIENCE_MS	10000

bool fault_possible(void)
{
	return !access(PORT, R_OK | W_OK);
}

/* The line that answers @id; greetings, events and late answers are passed over. */
static int read_answer(int fd, unsigned int id, char *line, size_t size)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	char *mark;

	while (poll(&pfd, 1, PATIENCE_MS) == 1) {
		if (read(fd, line + len, 1) != 1)
			return -EIO;
		if (line[len] != '\n') {
			len += len < size - 2;
			continue;
		}
		line[len] = '\0';
		mark = strstr(line, "\"id\": ");
		if (mark && strtoul(mark + strlen("\"id\": "), NULL, 10) == id)
			return 0;
		len = 0;
	}
	return -ETIMEDOUT;
}

static int qmp(int fd, const char *command, const char *arguments)
{
	static unsigned int last_id;
	char line[1024];
	unsigned int id = getpid() * 1000u + ++last_id;
	int ret;

	if (dprintf(fd, "{\"execute\": \"%s\", \"arguments\": {%s}, \"id\": %u}\n", command,
		    arguments, id) < 0)
		return -errno;
	ret = read_answer(fd, id, line, sizeof(line));
	if (ret)
		return ret;
	return strstr(line, "\"return\"") ? 0 : -EINVAL;
}

int fault_set(const char *property, const char *value)
{
	char arguments[256];
	int fd, ret;

	fd = open(PORT, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(arguments, sizeof(arguments),
		 "\"path\": \"%s\", \"property\": \"%s\", \"value\": %s", DEVICE, property, value);
	/* The session outlives this file: only the first one has to agree on anything */
	qmp(fd, "qmp_capabilities", "");
	ret = qmp(fd, "qom-set", arguments);
	close(fd);
	return ret;
}

int fault_clear(void)
{
	static const char * const lasting[][2] = {
		{ "gone", "false" },
		{ "hang-commands", "0" },
		{ "command-latency-ns", "0" },
		{ "latency-ns", "0" },
		{ "hang-engines", "false" },
		{ "pending", "false" },
	};
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(lasting) / sizeof(*lasting); i++)
		ret = fault_set(lasting[i][0], lasting[i][1]);
	return ret;
}
