#define _GNU_SOURCE
#include "start.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wire.h"

#define PORT_NAME "org.sagrada.agent"

static int put(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static int write_file(const char *path, const char *text)
{
	return put(path, text, 0);
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

void must_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
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

/*
 * Binds a driver to its devices one after the other. A driver that prefers asynchronous probing is otherwise bound to all of
 * them at once, which habanalabs does not get right (docs/findings/0002).
 */
static void attach(const char *driver)
{
	struct dirent **devices;
	char path[512];
	int count = scandir("/sys/bus/pci/devices", &devices, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", devices[i]->d_name);
		if (devices[i]->d_name[0] != '.' && access(path, F_OK) != 0) {
			/* a device that is not the driver's is refused, and one that does not come up is seen later */
			snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", driver);
			write_file(path, devices[i]->d_name);
		}
		free(devices[i]);
	}
	if (count >= 0)
		free(devices);
}

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

/*
 * Has the kernel's function tracer take down what a module that is not loaded yet calls of its own functions
 * (Documentation/trace/ftrace.rst). A kernel without it traces nothing.
 */
static void trace_functions(const char *module, const char *kilobytes)
{
	static const char filter[] = "/sys/kernel/tracing/set_ftrace_filter";
	char text[128];

	if (mount("tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		return;
	write_file("/sys/kernel/tracing/buffer_size_kb", kilobytes);
	/* an empty filter lets everything through: with this function, which never runs here, it is not empty */
	if (write_file(filter, "kernel_halt") != 0)
		return;
	snprintf(text, sizeof(text), ":mod:%s", module);
	if (put(filter, text, O_APPEND) == 0)
		write_file("/sys/kernel/tracing/current_tracer", "function");
}

/*
 * The network that the guests of a run share: their addresses begin with the same three bytes. The host's own list of names
 * is covered by ours.
 */
static void network(const char *address, const char *name)
{
	struct ifreq request = { .ifr_name = "eth0" };
	struct sockaddr_in *field = (struct sockaddr_in *)&request.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done = fd >= 0;

	field->sin_family = AF_INET;
	done = done && inet_pton(AF_INET, address, &field->sin_addr) == 1 && ioctl(fd, SIOCSIFADDR, &request) == 0;
	field->sin_addr.s_addr = htonl(0xffffff00);
	done = done && ioctl(fd, SIOCSIFNETMASK, &request) == 0;
	request.ifr_flags = IFF_UP;
	if (!done || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		fail("cannot give the network interface the address %s: %s", address, strerror(errno));
	close(fd);
	sethostname(name, strlen(name));
	/* a host without such a file has its guests know each other by address alone */
	mount("/etc/hosts", HOST "/etc/hosts", NULL, MS_BIND, NULL);
}

void configure(bool early)
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
		else if (strcmp(verb, "network") == 0)
			network(argument, rest ? rest : "guest");
		else if (strcmp(verb, "autoprobe") == 0)
			write_file("/sys/bus/pci/drivers_autoprobe", argument);
		else if (strcmp(verb, "trace") == 0)
			trace_functions(argument, rest ? rest : "1408");
		else if (strcmp(verb, "attach") == 0)
			attach(argument);
		else if (strcmp(verb, "hugepages") == 0)
			write_file("/proc/sys/vm/nr_hugepages", argument);
		else
			fail("/sagrada.conf: unknown step %s", verb);
	}
	free(line);
	fclose(file);
}

int open_port(void)
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

void report_ready(void)
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

void limits(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit files = { 1024, 524288 };

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	setrlimit(RLIMIT_NOFILE, &files);
}

void loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return; /* a kernel without IPv4 */
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}
