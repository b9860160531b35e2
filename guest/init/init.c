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
 *
 * The wire (src/machine/vm/agent.ts is the other end): frames of a header and a payload, little-endian.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PORT_NAME "org.sagrada.agent"
#define HOST "/host"

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
#define MAX_SESSIONS 64
#define CHUNK 32768

struct session {
	bool used;
	uint16_t id;
	pid_t pid;
	int in, out, err; /* -1 when closed; with a terminal in and out are the same file, and err is -1 */
	char *pending; /* of standard input */
	size_t pending_length;
	bool end_of_input;
};

static struct session sessions[MAX_SESSIONS];
static int port = -1;
static pid_t preparing; /* the process that mounts and loads */
static int kmsg = -1;

static void send_frame(uint16_t type, uint16_t session, const void *payload, size_t length);

/* Ends the guest at once; QEMU runs with -no-reboot. */
static _Noreturn void stop(void)
{
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
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

static void send_frame(uint16_t type, uint16_t session, const void *payload, size_t length)
{
	static char buffer[sizeof(struct header) + MAX_PAYLOAD];
	struct header header = { .length = (uint32_t)length, .session = session, .type = type };

	if (port < 0)
		return;
	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), payload, length);
	write_all(port, buffer, sizeof(header) + length);
}

static void send_u32(uint16_t type, uint16_t session, uint32_t value)
{
	send_frame(type, session, &value, sizeof(value));
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static ssize_t read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buffer, size - 1);
	close(fd);
	if (n < 0)
		return -1;
	while (n > 0 && buffer[n - 1] == '\n')
		n--;
	buffer[n] = 0;
	return n;
}

static void make_folders(const char *path)
{
	char buffer[4096];

	snprintf(buffer, sizeof(buffer), "%s", path);
	for (char *p = buffer + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		mkdir(buffer, 0755);
		*p = '/';
	}
	mkdir(buffer, 0755);
}

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	make_folders(target);
	if (mount(source, target, type, flags, data) != 0)
		fail("cannot mount %s on %s: %s", type, target, strerror(errno));
}

static void load_module(const char *file, const char *parameters)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("%s is not in the initramfs", file);
	if (syscall(SYS_finit_module, fd, parameters, 0) != 0 && errno != EEXIST)
		fail("the kernel refuses %s: %s", strrchr(file, '/') + 1, strerror(errno));
	close(fd);
}

/* ---- start ---- */

static void mount_host(const char *tag)
{
	char options[256];

	/* the host does not change what lies outside the bound folders while a command runs: cache what was read */
	snprintf(options, sizeof(options), "trans=virtio,version=9p2000.L,msize=512000,cache=loose");
	must_mount(tag, HOST, "9p", MS_RDONLY, options);
	must_mount("/dev", HOST "/dev", NULL, MS_BIND | MS_REC, NULL);
	must_mount("/proc", HOST "/proc", NULL, MS_BIND, NULL);
	must_mount("/sys", HOST "/sys", NULL, MS_BIND | MS_REC, NULL);
	must_mount("tmpfs", HOST "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	must_mount("tmpfs", "/scratch", "tmpfs", 0, "mode=0755");
	mkdir("/scratch/work", 0700);
	mkdir("/scratch/upper", 0700);
	chmod("/scratch/upper", 01777);
	/* /tmp shows what the host has there and takes writes; a kernel without overlayfs gives an empty one */
	if (mount("overlay", HOST "/tmp", "overlay", MS_NOSUID | MS_NODEV,
		  "lowerdir=" HOST "/tmp,upperdir=/scratch/upper,workdir=/scratch/work") != 0)
		must_mount("tmpfs", HOST "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
}

static void bind_folder(const char *tag, const char *path)
{
	char target[4096];

	snprintf(target, sizeof(target), HOST "%s", path);
	/* not cached: both sides write there */
	must_mount(tag, target, "9p", 0, "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=any");
}

/* Runs the steps of /sagrada.conf: the early ones, or the others. */
static void configure(bool early)
{
	FILE *file = fopen("/sagrada.conf", "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;

	if (!file)
		fail("there is no /sagrada.conf in the initramfs");
	while ((length = getline(&line, &size, file)) > 0) {
		char *verb, *argument, *rest;

		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		rest = line;
		verb = strsep(&rest, " ");
		argument = strsep(&rest, " ");
		if (!argument)
			continue;
		if ((strcmp(verb, "early") == 0) != early)
			continue;
		if (strcmp(verb, "early") == 0 || strcmp(verb, "module") == 0)
			load_module(argument, rest ? rest : "");
		else if (strcmp(verb, "root") == 0)
			mount_host(argument);
		else if (strcmp(verb, "bind") == 0)
			bind_folder(argument, rest ? rest : "/");
		else if (strcmp(verb, "hugepages") == 0)
			write_file("/proc/sys/vm/nr_hugepages", argument);
		else
			fail("/sagrada.conf: unknown step %s", verb);
	}
	free(line);
	fclose(file);
}

/* The port's device file, found by the name that QEMU gave it. */
static int open_port(void)
{
	for (int attempt = 0; attempt < 500; attempt++) {
		DIR *folder = opendir("/sys/class/virtio-ports");
		struct dirent *entry;

		while (folder && (entry = readdir(folder))) {
			char path[512], name[128];
			int fd;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
			if (read_file(path, name, sizeof(name)) < 0 || strcmp(name, PORT_NAME) != 0)
				continue;
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd >= 0) {
				closedir(folder);
				return fd;
			}
		}
		if (folder)
			closedir(folder);
		usleep(10000); /* the host answers the port's control messages when it gets to it */
	}
	fail("there is no virtio-serial port " PORT_NAME);
}

/* name, PCI address and status of every accelerator */
static void report_ready(void)
{
	char text[8192];
	size_t length = 0;
	DIR *folder = opendir("/sys/class/accel");
	struct dirent *entry;

	text[0] = 0;
	while (folder && (entry = readdir(folder))) {
		char path[512], target[512], status[128];
		ssize_t n;

		if (strncmp(entry->d_name, "accel", 5) != 0 || strncmp(entry->d_name, "accel_", 6) == 0)
			continue;
		snprintf(path, sizeof(path), "/sys/class/accel/%s/device", entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = 0;
		snprintf(path, sizeof(path), "/sys/class/accel/%s/device/status", entry->d_name);
		if (read_file(path, status, sizeof(status)) < 0)
			strcpy(status, "unknown");
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s %s %s\n", entry->d_name,
					   strrchr(target, '/') ? strrchr(target, '/') + 1 : target, status);
		if (length >= sizeof(text)) {
			length = sizeof(text) - 1;
			break;
		}
	}
	if (folder)
		closedir(folder);
	send_frame(READY, 0, text, length);
}

static void limits(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit files = { 1024, 524288 };

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	setrlimit(RLIMIT_NOFILE, &files);
}

/* Brings `lo` up. */
static void loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return; /* a kernel without IPv4 */
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}

/* ---- commands ---- */

static struct session *find_session(uint16_t id)
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

static void start_command(uint16_t id, char *payload, size_t length)
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

/* Sends what a stream has. @return false when there is nothing left for now. */
static bool forward(struct session *session, int *fd, uint16_t type)
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

/* Gives the command its input as far as it takes it. */
static void feed(struct session *session)
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

static void input(struct session *session, const char *data, size_t length)
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

static void end_session(struct session *session, int status)
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

/* ---- the loop ---- */

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

	make_folders("/proc");
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
