#include "wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

int port = -1;

_Noreturn void stop(void)
{
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

_Noreturn void fail(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (port >= 0) {
		send_frame(FAILED, 0, text, strlen(text));
		for (;;)
			pause(); /* the host ends the guest */
	}
	dprintf(STDERR_FILENO, "sagrada: %s\n", text);
	stop();
}

static void write_all(int fd, const void *data, size_t length)
{
	const char *p = data;

	while (length > 0) {
		ssize_t n = write(fd, p, length);

		if (n < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			stop(); /* the host has gone */
		}
		p += n;
		length -= (size_t)n;
	}
}

void send_frame(uint16_t type, uint16_t session, const void *payload, size_t length)
{
	static char buffer[sizeof(struct header) + MAX_PAYLOAD];
	struct header header = { .length = (uint32_t)length, .session = session, .type = type };

	if (port < 0)
		return;
	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), payload, length);
	write_all(port, buffer, sizeof(header) + length);
}

void send_u32(uint16_t type, uint16_t session, uint32_t value)
{
	send_frame(type, session, &value, sizeof(value));
}
