/*
 * The wire between the guest's agent and the host: frames of a header and a payload, little-endian, on a virtio-serial
 * port. src/machine/vm/agent.ts is the other end.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

struct header {
	uint32_t length; /* of the payload */
	uint16_t session;
	uint16_t type;
};

enum {
	/* from the host */
	START = 1, /* struct start, then strings ending in NUL: folder, arguments, environment */
	STDIN = 2, /* data; no data: end of input */
	SIGNAL = 3, /* u32 */
	RESIZE = 4, /* u16 rows, u16 columns */
	SHUTDOWN = 5,
	PING = 6,
	/* to the host */
	HELLO = 16, /* kernel release */
	LOG = 17, /* one record as read from /dev/kmsg */
	READY = 18, /* one line per accelerator: name, PCI address, status */
	FAILED = 19, /* why the guest cannot be used */
	STDOUT = 20,
	STDERR = 21,
	EXIT = 22, /* u32: status; 128 + n for signal n */
	TAKEN = 23, /* u32: bytes of STDIN that the command has been given */
	REFUSED = 24, /* why the command could not be started; EXIT follows */
	BYE = 25,
	PONG = 26,
};

enum { TTY = 1, NO_STDIN = 2 };

struct start {
	uint16_t flags;
	uint16_t rows;
	uint16_t columns;
	uint16_t arguments;
	uint16_t variables;
};

#define MAX_PAYLOAD (256 * 1024)

/* The port; -1 before it is open. */
extern int port;

/* Ends the guest at once; QEMU runs with -no-reboot. */
_Noreturn void stop(void);

/* Tells the host why the guest cannot be used; the host then ends it. */
_Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

void send_frame(uint16_t type, uint16_t session, const void *payload, size_t length);
void send_u32(uint16_t type, uint16_t session, uint32_t value);

#endif
