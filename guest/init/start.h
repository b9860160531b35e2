/* What makes the guest: file systems, drivers, limits. */
#ifndef START_H
#define START_H

#include <stdbool.h>

/* Where the host's root is mounted. */
#define HOST "/host"

void must_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);

/* Runs the steps of /sagrada.conf: the early ones, or the others. */
void configure(bool early);

/* The port's device file, found by the name that QEMU gave it. */
int open_port(void);

/* Tells the host name, PCI address and status of every accelerator. */
void report_ready(void);

void limits(void);

/* Brings `lo` up. */
void loopback(void);

#endif
