/*
 * A program of the kind that drives the card without our library: asks what it is, and moves a block of data to SRAM and back
 * through the external DMA queues. Exit status 0: the data came back as it went.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm/habanalabs_accel.h>

#define SIZE 65536u

/* struct packet_lin_dma of the driver's gaudi_packets.h */
struct lin_dma {
	uint32_t tsize;
	uint32_t ctl;
	uint64_t src;
	uint64_t dst;
};

#define LIN_DMA (9u << 24)
#define BARRIERS (7u << 29)
#define LINEAR (1u << 3)

static int fd;

static void call(unsigned long request, void *argument, const char *what)
{
	while (ioctl(fd, request, argument)) {
		if (errno == EINTR)
			continue;
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static uint64_t map_host(void *memory, size_t size)
{
	union hl_mem_args args = { .in = { .op = HL_MEM_OP_MAP, .flags = HL_MEM_USERPTR } };

	args.in.map_host.host_virt_addr = (uintptr_t)memory;
	args.in.map_host.mem_size = size;
	call(DRM_IOCTL_HL_MEMORY, &args, "map");
	return args.out.device_virt_addr;
}

static void unmap_host(uint64_t address)
{
	union hl_mem_args args = { .in = { .op = HL_MEM_OP_UNMAP } };

	args.in.unmap.device_virt_addr = address;
	call(DRM_IOCTL_HL_MEMORY, &args, "unmap");
}

/* Copies with a queue and waits for the end. */
static void copy(uint32_t queue, uint64_t dst, uint64_t src, uint32_t size)
{
	union hl_cb_args cb = { .in = { .op = HL_CB_OP_CREATE, .cb_size = 4096 } };
	union hl_cs_args cs = { 0 };
	union hl_wait_cs_args wait = { 0 };
	struct hl_cs_chunk chunk = { 0 };
	struct lin_dma *packet;
	uint64_t handle;

	call(DRM_IOCTL_HL_CB, &cb, "create command buffer");
	handle = cb.out.cb_handle;
	packet = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, handle);
	if (packet == MAP_FAILED) {
		perror("mmap of the command buffer");
		exit(1);
	}
	packet->tsize = size;
	packet->ctl = LIN_DMA | BARRIERS | LINEAR;
	packet->src = src;
	packet->dst = dst;

	chunk.cb_handle = handle;
	chunk.queue_index = queue;
	chunk.cb_size = sizeof(*packet);
	cs.in.chunks_execute = (uintptr_t)&chunk;
	cs.in.num_chunks_execute = 1;
	call(DRM_IOCTL_HL_CS, &cs, "submit");

	wait.in.seq = cs.out.seq;
	wait.in.timeout_us = 20 * 1000 * 1000;
	call(DRM_IOCTL_HL_WAIT_CS, &wait, "wait");
	if (wait.out.status != HL_WAIT_CS_STATUS_COMPLETED) {
		fprintf(stderr, "the copy has not ended: status %u\n", wait.out.status);
		exit(1);
	}

	munmap(packet, 4096);
	memset(&cb, 0, sizeof(cb));
	cb.in.op = HL_CB_OP_DESTROY;
	cb.in.cb_handle = handle;
	call(DRM_IOCTL_HL_CB, &cb, "destroy command buffer");
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/dev/accel/accel0";
	struct hl_info_hw_ip_info ip = { 0 };
	struct hl_info_args info = { .op = HL_INFO_HW_IP_INFO };
	uint64_t device_source, device_target;
	uint8_t *source, *target;
	int same;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		return 1;
	}
	info.return_pointer = (uintptr_t)&ip;
	info.return_size = sizeof(ip);
	call(DRM_IOCTL_HL_INFO, &info, "HW_IP_INFO");
	printf("%s: %.16s, device %x, SRAM 0x%llx + %u, DRAM 0x%llx + %llu\n", path, ip.card_name, ip.device_id,
	       (unsigned long long)ip.sram_base_address, ip.sram_size, (unsigned long long)ip.dram_base_address,
	       (unsigned long long)ip.dram_size);

	source = aligned_alloc(4096, SIZE);
	target = aligned_alloc(4096, SIZE);
	for (uint32_t i = 0; i < SIZE; i++)
		source[i] = (uint8_t)(i * 31 + (i >> 8));
	memset(target, 0, SIZE);
	device_source = map_host(source, SIZE);
	device_target = map_host(target, SIZE);

	copy(GAUDI_QUEUE_ID_DMA_0_0, ip.sram_base_address, device_source, SIZE);
	copy(GAUDI_QUEUE_ID_DMA_1_0, device_target, ip.sram_base_address, SIZE);

	same = memcmp(source, target, SIZE) == 0;
	puts(same ? "the data came back" : "the data differs");

	unmap_host(device_source);
	unmap_host(device_target);
	free(source);
	free(target);
	close(fd);
	return same ? 0 : 1;
}
