/* The commands that run in the guest, each with streams of its own. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_SESSIONS 64

struct session {
	bool used;
	uint16_t id;
	pid_t pid;
	int in, out, err; /* -1 when closed; with a terminal in and out are the same file, and err is -1 */
	char *pending; /* of standard input */
	size_t pending_length;
	bool end_of_input;
};

extern struct session sessions[MAX_SESSIONS];

/* The session that has this number, or NULL. */
struct session *find_session(uint16_t id);

/* Starts what a START frame asks for; the host is told where that fails. */
void start_command(uint16_t id, char *payload, size_t length);

/* Sends what a stream has. @return false when there is nothing left for now. */
bool forward(struct session *session, int *fd, uint16_t type);

/* Gives the command its input as far as it takes it. */
void feed(struct session *session);

/* Takes input for the command; no bytes mean the end of it. */
void input(struct session *session, const char *data, size_t length);

/* Sends what is left of the output, and the status (as from waitpid) that the command ended with. */
void end_session(struct session *session, int status);

#endif
