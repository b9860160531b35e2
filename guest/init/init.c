/*
 * The first process of the guest, and its agent: mounts what the guest needs, loads the drivers, and runs the commands
 * that the host sends through a virtio-serial port, each with streams of its own. The kernel's console is not used.
 *
 * What to do at start is in /sagrada.conf of the initramfs, one step per line (src/machine/vm/initramfs.ts writes it):
 *   early FILE PARAMETERS    load a module before the port is opened
 *   module FILE PARAMETERS   load a module
 *   root TAG                 mount the host's root, read-only
 *   bind TAG PATH            mount a folder of the host, writable, where the host has it
 *   hugepages N
 *   trace MODULE KILOBYTES   take down the functions of a module that are called, in a buffer of that size per processor
 *   network ADDRESS NAME     give eth0 that IPv4 address, and the guest that name
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "commands.h"
#include "start.h"
#include "wire.h"

static pid_t preparing; /* the process that mounts and loads */
static int kmsg = -1;

static void handle(const struct header *header, char *payload)
{
	struct session *session = find_session(header->session);

	switch (header->type) {
	case START:
		if (header->length > sizeof(struct start))
			start_command(header->session, payload, header->length);
		break;
	case STDIN:
		if (session)
			input(session, payload, header->length);
		break;
	case SIGNAL:
		if (session && header->length == 4) {
			uint32_t number;

			memcpy(&number, payload, sizeof(number));
			kill(-session->pid, (int)number);
		}
		break;
	case RESIZE:
		if (session && header->length == 4 && session->in >= 0) {
			uint16_t size[2];
			struct winsize window = { 0 };

			memcpy(size, payload, sizeof(size));
			window.ws_row = size[0];
			window.ws_col = size[1];
			ioctl(session->in, TIOCSWINSZ, &window);
		}
		break;
	case SHUTDOWN:
		kill(-1, SIGKILL);
		sync();
		send_frame(BYE, 0, "", 0);
		break;
	case PING:
		send_frame(PONG, 0, "", 0);
		break;
	default:
		break;
	}
}

/* Reads what the host sent and handles the frames that are complete. */
static void read_port(void)
{
	static char buffer[sizeof(struct header) + MAX_PAYLOAD];
	static size_t have;
	ssize_t n = read(port, buffer + have, sizeof(buffer) - have);
	size_t used = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0)
		stop(); /* the host has gone */
	have += (size_t)n;
	for (;;) {
		struct header header;

		if (have - used < sizeof(header))
			break;
		memcpy(&header, buffer + used, sizeof(header));
		if (header.length > MAX_PAYLOAD)
			fail("a message of %u bytes from the host", header.length);
		if (have - used - sizeof(header) < header.length)
			break;
		handle(&header, buffer + used + sizeof(header));
		used += sizeof(header) + header.length;
	}
	have -= used;
	memmove(buffer, buffer + used, have);
}

/* Sends the records that the kernel has logged. */
static void read_log(void)
{
	char record[8192];

	for (;;) {
		ssize_t n = read(kmsg, record, sizeof(record));

		if (n < 0 && errno == EPIPE)
			continue; /* records were overwritten before they were read */
		if (n <= 0)
			return;
		send_frame(LOG, 0, record, (size_t)n);
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == preparing && status != 0)
			fail("loading the drivers ended the process that does it (status %#x)", status);
		for (int i = 0; i < MAX_SESSIONS; i++) {
			if (!sessions[i].used || sessions[i].pid != pid)
				continue;
			read_log(); /* what it did to the kernel is told before its end */
			end_session(&sessions[i], status);
		}
	}
}

static _Noreturn void serve(int signals)
{
	for (;;) {
		struct pollfd fds[3 + 3 * MAX_SESSIONS];
		nfds_t count = 3;
		struct signalfd_siginfo info;

		fds[0] = (struct pollfd){ .fd = port, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = kmsg, .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = signals, .events = POLLIN };
		for (int i = 0; i < MAX_SESSIONS; i++) {
			struct session *s = &sessions[i];

			if (!s->used)
				continue;
			fds[count++] = (struct pollfd){ .fd = s->pending_length > 0 ? s->in : -1, .events = POLLOUT };
			fds[count++] = (struct pollfd){ .fd = s->out, .events = POLLIN };
			fds[count++] = (struct pollfd){ .fd = s->err, .events = POLLIN };
		}
		if (poll(fds, count, -1) < 0)
			continue;
		if (fds[1].revents)
			read_log();
		if (fds[0].revents & POLLIN)
			read_port();
		else if (fds[0].revents & (POLLHUP | POLLERR))
			stop(); /* the host has gone */
		for (int i = 0; i < MAX_SESSIONS; i++) {
			if (!sessions[i].used)
				continue;
			if (sessions[i].pending_length > 0)
				feed(&sessions[i]);
			forward(&sessions[i], &sessions[i].out, STDOUT);
			if (sessions[i].used)
				forward(&sessions[i], &sessions[i].err, STDERR);
		}
		if (fds[2].revents & POLLIN) {
			while (read(signals, &info, sizeof(info)) == sizeof(info))
				;
			reap();
		}
	}
}

int main(void)
{
	struct utsname kernel;
	sigset_t set;
	int signals;

	must_mount("proc", "/proc", "proc", 0, NULL);
	must_mount("sysfs", "/sys", "sysfs", 0, NULL);
	must_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
	must_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5");
	must_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	/* a kernel may lack it */
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	symlink("/proc/self/fd", "/dev/fd");
	symlink("fd/0", "/dev/stdin");
	symlink("fd/1", "/dev/stdout");
	symlink("fd/2", "/dev/stderr");
	sethostname("sagrada", 7);
	limits();
	signal(SIGPIPE, SIG_IGN);

	configure(true);
	port = open_port();
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		fail("cannot read the kernel's log: %s", strerror(errno));
	uname(&kernel);
	send_frame(HELLO, 0, kernel.release, strlen(kernel.release));

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	/* loading a driver takes seconds: the log goes on to the host meanwhile */
	preparing = fork();
	if (preparing == 0) {
		loopback();
		configure(false);
		report_ready();
		_exit(0);
	}
	serve(signals);
}
