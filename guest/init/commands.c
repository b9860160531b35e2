#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "start.h"
#include "wire.h"

#define CHUNK 32768

struct session sessions[MAX_SESSIONS];

struct session *find_session(uint16_t id)
{
	for (int i = 0; i < MAX_SESSIONS; i++)
		if (sessions[i].used && sessions[i].id == id)
			return &sessions[i];
	return NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void refuse(uint16_t id, uint32_t status, const char *what, int error)
{
	char text[4300];

	snprintf(text, sizeof(text), "%s: %s", what, strerror(error));
	send_frame(REFUSED, id, text, strlen(text));
	send_u32(EXIT, id, status);
}

struct failure {
	int error;
	int step; /* 0: the folder, 1: the program */
};

/* In the child: becomes the command, or tells why not. */
static _Noreturn void become(const char *folder, char **arguments, char **environment, int in, int out, int err,
			     bool tty, int report)
{
	struct failure failure;
	sigset_t none;

	setsid();
	if (tty)
		ioctl(in, TIOCSCTTY, 0);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	failure.step = 0;
	if (chroot(HOST) == 0 && chdir(folder) == 0) {
		failure.step = 1;
		environ = environment;
		execvp(arguments[0], arguments);
	}
	failure.error = errno;
	if (write(report, &failure, sizeof(failure)) < 0)
		_exit(126);
	_exit(127);
}

/* Both ends of what a command is given: [0] the command's, [1] ours. */
struct streams {
	int in[2], out[2], err[2];
};

static int open_streams(struct streams *streams, const struct start *start)
{
	*streams = (struct streams){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (start->flags & TTY) {
		struct winsize size = { .ws_row = start->rows, .ws_col = start->columns };
		int unlock = 0, number;
		char name[32];
		int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

		if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) != 0 || ioctl(master, TIOCGPTN, &number) != 0)
			return -1;
		ioctl(master, TIOCSWINSZ, &size);
		snprintf(name, sizeof(name), "/dev/pts/%d", number);
		streams->in[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (streams->in[0] < 0)
			return -1;
		streams->in[1] = streams->out[1] = master;
		streams->out[0] = streams->err[0] = streams->in[0];
		return 0;
	}
	if (start->flags & NO_STDIN) {
		streams->in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (streams->in[0] < 0)
			return -1;
	} else if (pipe2(streams->in, O_CLOEXEC) != 0) {
		return -1;
	}
	/* pipe2() puts the reading end first */
	if (pipe2(streams->out, O_CLOEXEC) != 0 || pipe2(streams->err, O_CLOEXEC) != 0)
		return -1;
	int swap = streams->out[0];
	streams->out[0] = streams->out[1];
	streams->out[1] = swap;
	swap = streams->err[0];
	streams->err[0] = streams->err[1];
	streams->err[1] = swap;
	return 0;
}

static void close_streams(struct streams *streams)
{
	int all[] = { streams->in[0], streams->in[1], streams->out[0], streams->out[1], streams->err[0], streams->err[1] };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (size_t j = 0; j < i; j++)
			if (all[j] == all[i])
				all[i] = -1;
		close_fd(&all[i]);
	}
}

void start_command(uint16_t id, char *payload, size_t length)
{
	struct start start;
	struct session *session = NULL;
	struct streams streams;
	struct failure failure = { 0, 0 };
	char *strings[4096];
	size_t wanted, count = 0;
	int report[2];
	pid_t pid;

	memcpy(&start, payload, sizeof(start));
	wanted = 1u + start.arguments + 1u + start.variables + 1u;
	if (start.arguments == 0 || wanted + 2 > sizeof(strings) / sizeof(strings[0]) || payload[length - 1] != 0) {
		refuse(id, 126, "command", E2BIG);
		return;
	}
	for (char *p = payload + sizeof(start); p < payload + length && count < wanted; p += strlen(p) + 1) {
		strings[count++] = p;
		if (count == 1u + start.arguments)
			strings[count++] = NULL;
	}
	strings[count] = NULL;

	for (int i = 0; i < MAX_SESSIONS && !session; i++)
		if (!sessions[i].used)
			session = &sessions[i];
	if (!session || find_session(id)) {
		refuse(id, 126, "command", EAGAIN);
		return;
	}
	if (open_streams(&streams, &start) != 0 || pipe2(report, O_CLOEXEC) != 0) {
		refuse(id, 126, strings[1], errno);
		close_streams(&streams);
		return;
	}
	pid = fork();
	if (pid == 0)
		become(strings[0], strings + 1, strings + 2 + start.arguments, streams.in[0], streams.out[0],
		       streams.err[0], start.flags & TTY, report[1]);
	close(report[1]);
	if (pid > 0 && read(report[0], &failure, sizeof(failure)) == sizeof(failure)) {
		waitpid(pid, NULL, 0);
		refuse(id, failure.error == ENOENT ? 127 : 126, failure.step == 0 ? strings[0] : strings[1], failure.error);
		pid = -1;
	} else if (pid < 0) {
		refuse(id, 126, strings[1], errno);
	}
	close(report[0]);
	if (pid < 0) {
		close_streams(&streams);
		return;
	}
	close(streams.in[0]);
	if (streams.out[0] != streams.in[0]) {
		close(streams.out[0]);
		close(streams.err[0]);
	}
	*session = (struct session){
		.used = true, .id = id, .pid = pid, .in = streams.in[1], .out = streams.out[1], .err = streams.err[1],
	};
	if (session->in >= 0)
		nonblocking(session->in);
	nonblocking(session->out);
	if (session->err >= 0)
		nonblocking(session->err);
}

bool forward(struct session *session, int *fd, uint16_t type)
{
	static char buffer[CHUNK];
	ssize_t n;

	if (*fd < 0)
		return false;
	n = read(*fd, buffer, sizeof(buffer));
	if (n > 0) {
		send_frame(type, session->id, buffer, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* the end; a terminal says EIO when nobody has it open any more */
	if (session->in == *fd)
		session->in = -1;
	close_fd(fd);
	return false;
}

void feed(struct session *session)
{
	size_t taken = 0;

	while (session->in >= 0 && taken < session->pending_length) {
		ssize_t n = write(session->in, session->pending + taken, session->pending_length - taken);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* the command has closed its input */
			if (session->in != session->out)
				close_fd(&session->in);
			break;
		}
		taken += (size_t)n;
	}
	if (session->in < 0)
		taken = session->pending_length;
	if (taken > 0) {
		session->pending_length -= taken;
		memmove(session->pending, session->pending + taken, session->pending_length);
		send_u32(TAKEN, session->id, (uint32_t)taken);
	}
	/* a terminal has no end of input but the character that means it */
	if (session->end_of_input && session->pending_length == 0 && session->in != session->out)
		close_fd(&session->in);
}

void input(struct session *session, const char *data, size_t length)
{
	char *grown;

	if (length == 0) {
		session->end_of_input = true;
		feed(session);
		return;
	}
	grown = realloc(session->pending, session->pending_length + length);
	if (!grown)
		stop();
	session->pending = grown;
	memcpy(session->pending + session->pending_length, data, length);
	session->pending_length += length;
	feed(session);
}

void end_session(struct session *session, int status)
{
	/* what the command left running must not hold the device in the next one */
	kill(-session->pid, SIGKILL);
	while (forward(session, &session->out, STDOUT))
		;
	while (forward(session, &session->err, STDERR))
		;
	if (session->in == session->out)
		session->in = -1;
	close_fd(&session->in);
	close_fd(&session->out);
	close_fd(&session->err);
	free(session->pending);
	send_u32(EXIT, session->id, WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status) : (uint32_t)WEXITSTATUS(status));
	session->used = false;
}
