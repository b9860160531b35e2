/*
 * Replaces the habanalabs driver of a guest by another build of it: takes the cards from the old one, unloads it, loads the other
 * and gives it the cards one after the other (docs/findings/0002).
 *
 * swap MODULE.ko
 * Ends with 3 where the old driver cannot be unloaded, 4 where the new one cannot be loaded or does not bring up a card.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DRIVER "/sys/bus/pci/drivers/habanalabs/"
#define MOST 16

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int cards(char names[MOST][32])
{
	DIR *folder = opendir(DRIVER);
	struct dirent *entry;
	int count = 0;

	while (folder && (entry = readdir(folder)) && count < MOST)
		if (strchr(entry->d_name, ':'))
			snprintf(names[count++], sizeof(names[0]), "%s", entry->d_name);
	if (folder)
		closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	char names[MOST][32];
	int count = cards(names);
	int fd;

	if (argc != 2 || count == 0)
		return 2;
	if (syscall(SYS_delete_module, "habanalabs", O_NONBLOCK) != 0) {
		fprintf(stderr, "the driver cannot be unloaded: %s\n", strerror(errno));
		return 3;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	put("/sys/bus/pci/drivers_autoprobe", "0");
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0) {
		fprintf(stderr, "%s cannot be loaded: %s\n", argv[1], strerror(errno));
		return 4;
	}
	for (int i = 0; i < count; i++) {
		int rc = put(DRIVER "bind", names[i]);

		if (rc != 0) {
			fprintf(stderr, "%s is not brought up: %s\n", names[i], strerror(-rc));
			return 4;
		}
	}
	put("/sys/bus/pci/drivers_autoprobe", "1");
	return 0;
}
