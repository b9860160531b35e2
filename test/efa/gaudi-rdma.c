/*
 * Moves bytes between host memory and memory of a Gaudi with the NIC, in the order of calls in which an RDMA benchmark
 * with a Gaudi option makes them through its vendor's library: find the card by its bus address, open it, ask where its
 * memory is, allocate, export, register with the address of the device as the address of the region.
 *
 *	gaudi-rdma TASK [--card ADDRESS] [--nic N] [--size BYTES] [--count N]
 *
 * Prints lines of words; the last is "done". A call that fails: its name and errno, and status 1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <drm/habanalabs_accel.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define QKEY 0x11111111u
#define DEPTH 64
#define ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE)

static struct {
	const char *task;
	const char *card;
	int nic;
	uint64_t size;
	unsigned count;
} option = { .size = 2 << 20, .count = 1000 };

static void failed(const char *call, int error)
{
	printf("%s %d %s\n", call, error, strerror(error));
	exit(1);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* ---- the card ---- */

struct card {
	int fd;
	uint64_t base;
	uint64_t size;
	/* Where the next buffer is: on Gaudi1 the program places them. */
	uint64_t next;
};

static bool same_address(const char *name, const char *wanted)
{
	char path[300], found[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/accel/%s/device/pci_addr", name);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (fscanf(file, "%63s", found) != 1)
		found[0] = 0;
	fclose(file);
	return !wanted || strcasecmp(found, wanted) == 0;
}

static struct card open_card(void)
{
	struct hl_info_hw_ip_info ip = { 0 };
	struct hl_info_args info = { .op = HL_INFO_HW_IP_INFO };
	struct card card = { .fd = -1 };
	DIR *folder = opendir("/sys/class/accel");
	struct dirent *entry;

	while (folder && card.fd < 0 && (entry = readdir(folder))) {
		char path[300];

		if (strncmp(entry->d_name, "accel", 5) != 0 || strchr(entry->d_name, '_') ||
		    !same_address(entry->d_name, option.card))
			continue;
		snprintf(path, sizeof(path), "/dev/accel/%s", entry->d_name);
		card.fd = open(path, O_RDWR | O_CLOEXEC);
		if (card.fd < 0)
			failed("open", errno);
	}
	if (folder)
		closedir(folder);
	if (card.fd < 0)
		failed("card", ENODEV);
	info.return_pointer = (uintptr_t)&ip;
	info.return_size = sizeof(ip);
	if (ioctl(card.fd, DRM_IOCTL_HL_INFO, &info))
		failed("info", errno);
	card.base = ip.dram_base_address;
	card.size = ip.dram_size;
	card.next = card.base;
	return card;
}

static void account(struct card *card, uint32_t op, uint64_t size)
{
	union hl_mem_args memory = { 0 };

	memory.in.op = op;
	memory.in.flags = op == HL_MEM_OP_ALLOC ? HL_MEM_CONTIGUOUS : 0;
	memory.in.alloc.mem_size = size;
	if (ioctl(card->fd, DRM_IOCTL_HL_MEMORY, &memory))
		failed("memory", errno);
	/* A chip whose memory has no virtual addresses answers without a handle (common/memory.c, hl_mem_ioctl). */
	if (op == HL_MEM_OP_ALLOC && memory.out.handle != 0)
		failed("handle", EPROTO);
}

/* A buffer of the card's memory. @return a dma-buf, and its device address */
static int export_buffer(struct card *card, uint64_t size, uint64_t *address)
{
	union hl_mem_args memory = { 0 };

	size = (size + 4095) & ~4095ull;
	account(card, HL_MEM_OP_ALLOC, size);
	*address = card->next;
	card->next += size;
	memory.in.op = HL_MEM_OP_EXPORT_DMABUF_FD;
	memory.in.flags = O_RDWR | O_CLOEXEC;
	memory.in.export_dmabuf_fd.addr = *address;
	memory.in.export_dmabuf_fd.mem_size = size;
	if (ioctl(card->fd, DRM_IOCTL_HL_MEMORY, &memory))
		failed("export", errno);
	return memory.out.fd;
}

/* ---- the NIC ---- */

struct nic {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_qp_ex *ex;
	struct ibv_ah *ah;
};

static void to_rts(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY };
	int error = ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);

	attr.qp_state = IBV_QPS_RTR;
	if (!error)
		error = ibv_modify_qp(qp, &attr, IBV_QP_STATE);
	attr.qp_state = IBV_QPS_RTS;
	if (!error)
		error = ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN);
	if (error)
		failed("modify_qp", error);
}

static struct nic open_nic(enum ibv_qp_type type)
{
	struct ibv_qp_init_attr_ex attr = {
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1 },
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
	};
	struct efadv_qp_init_attr efa = { .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD };
	struct ibv_ah_attr route = { .is_global = 1, .port_num = 1 };
	struct nic nic = { 0 };
	int count = 0;
	struct ibv_device **list = ibv_get_device_list(&count);

	if (option.nic >= count)
		failed("nic", ENODEV);
	nic.context = ibv_open_device(list[option.nic]);
	ibv_free_device_list(list);
	if (!nic.context)
		failed("open_device", errno);
	nic.pd = ibv_alloc_pd(nic.context);
	nic.cq = ibv_create_cq(nic.context, 4 * DEPTH, NULL, NULL, 0);
	if (!nic.pd || !nic.cq)
		failed("create_cq", errno);
	attr.pd = nic.pd;
	attr.send_cq = attr.recv_cq = nic.cq;
	attr.qp_type = type;
	attr.send_ops_flags = IBV_QP_EX_WITH_SEND;
	if (type == IBV_QPT_DRIVER)
		attr.send_ops_flags |= IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_RDMA_WRITE;
	nic.qp = type == IBV_QPT_DRIVER ? efadv_create_qp_ex(nic.context, &attr, &efa, sizeof(efa)) :
					  ibv_create_qp_ex(nic.context, &attr);
	if (!nic.qp)
		failed("create_qp", errno);
	nic.ex = ibv_qp_to_qp_ex(nic.qp);
	to_rts(nic.qp);
	if (ibv_query_gid(nic.context, 1, 0, &route.grh.dgid))
		failed("query_gid", errno);
	nic.ah = ibv_create_ah(nic.pd, &route);
	if (!nic.ah)
		failed("create_ah", errno);
	return nic;
}

struct region {
	struct ibv_mr *mr;
	uint64_t address;
	uint8_t *bytes;
};

static struct region host_region(struct nic *nic, uint64_t size)
{
	struct region region;

	region.bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (region.bytes == MAP_FAILED)
		failed("mmap", errno);
	region.address = (uintptr_t)region.bytes;
	region.mr = ibv_reg_mr(nic->pd, region.bytes, size, ACCESS);
	if (!region.mr)
		failed("reg_mr", errno);
	return region;
}

static struct region card_region(struct nic *nic, struct card *card, uint64_t size)
{
	struct region region = { 0 };
	int fd = export_buffer(card, size, &region.address);

	region.mr = ibv_reg_dmabuf_mr(nic->pd, 0, size, region.address, fd, ACCESS);
	if (!region.mr)
		failed("reg_dmabuf_mr", errno);
	close(fd);
	return region;
}

enum what { READ, WRITE, SEND };

static void post(struct nic *nic, enum what what, struct region *local, uint64_t from, struct region *remote,
		 uint64_t to, uint64_t length)
{
	int error;

	ibv_wr_start(nic->ex);
	nic->ex->wr_flags = IBV_SEND_SIGNALED;
	if (what == READ)
		ibv_wr_rdma_read(nic->ex, remote->mr->rkey, remote->address + to);
	else if (what == WRITE)
		ibv_wr_rdma_write(nic->ex, remote->mr->rkey, remote->address + to);
	else
		ibv_wr_send(nic->ex);
	ibv_wr_set_ud_addr(nic->ex, nic->ah, nic->qp->qp_num, QKEY);
	ibv_wr_set_sge(nic->ex, local->mr->lkey, local->address + from, length);
	error = ibv_wr_complete(nic->ex);
	if (error)
		failed("post", error);
}

static void post_receive(struct nic *nic, struct region *region, uint64_t at, uint32_t length)
{
	struct ibv_sge sge = { .addr = region->address + at, .length = length, .lkey = region->mr->lkey };
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;
	int error = ibv_post_recv(nic->qp, &wr, &bad);

	if (error)
		failed("post_recv", error);
}

static struct ibv_wc wait_for(struct nic *nic)
{
	struct ibv_wc wc;
	int n;

	while ((n = ibv_poll_cq(nic->cq, 1, &wc)) == 0)
		;
	if (n < 0)
		failed("poll_cq", -n);
	return wc;
}

static int move(struct nic *nic, enum what what, struct region *local, uint64_t from, struct region *remote,
		uint64_t to, uint64_t length)
{
	post(nic, what, local, from, remote, to, length);
	return wait_for(nic).status;
}

static void must_move(struct nic *nic, enum what what, struct region *local, uint64_t from, struct region *remote,
		      uint64_t to, uint64_t length)
{
	int status = move(nic, what, local, from, remote, to, length);

	if (status) {
		printf("completion %d %s\n", status, ibv_wc_status_str(status));
		exit(1);
	}
}

static void fill(uint8_t *bytes, uint64_t size, uint32_t seed)
{
	for (uint64_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = seed >> 24;
	}
}

/* ---- tasks ---- */

/* There and back, all of it and at odd places; sends out of and into memory of the card; beyond the end. */
static void transfer(void)
{
	struct card card = open_card();
	struct nic nic = open_nic(IBV_QPT_DRIVER);
	uint64_t size = option.size;
	struct region there = card_region(&nic, &card, size);
	struct region host = host_region(&nic, 2 * size);

	printf("address %s\n", there.address == card.base ? "base" : "other");
	fill(host.bytes, size, 1);
	must_move(&nic, WRITE, &host, 0, &there, 0, size);
	must_move(&nic, READ, &host, size, &there, 0, size);
	printf("whole %s\n", memcmp(host.bytes, host.bytes + size, size) ? "differs" : "equal");
	must_move(&nic, WRITE, &host, 77, &there, 4093, 9001);
	must_move(&nic, READ, &host, size, &there, 4093, 9001);
	printf("odd %s\n", memcmp(host.bytes + 77, host.bytes + size, 9001) ? "differs" : "equal");
	/* Out of memory of the card, into memory of the card. */
	post_receive(&nic, &there, size / 2, 4096);
	post(&nic, SEND, &there, 4093, NULL, 0, 4096);
	for (int i = 0; i < 2; i++)
		if (wait_for(&nic).status)
			failed("send", EIO);
	must_move(&nic, READ, &host, size, &there, size / 2, 4096);
	printf("send %s\n", memcmp(host.bytes + 77, host.bytes + size, 4096) ? "differs" : "equal");
	printf("beyond %d\n", move(&nic, WRITE, &host, 0, &there, size - 8, 64));
	printf("unregister %d\n", ibv_dereg_mr(there.mr));
	account(&card, HL_MEM_OP_FREE, size);
	/* What a benchmark does in the end: nothing; the kernel cleans up. */
}

/* Many regions at once, each with bytes of its own, taken back in another order. */
static void many(void)
{
	struct card card = open_card();
	struct nic nic = open_nic(IBV_QPT_DRIVER);
	unsigned count = option.count;
	struct region *there = calloc(count, sizeof(*there));
	struct region host = host_region(&nic, 2 * option.size);
	unsigned wrong = 0;

	for (unsigned i = 0; i < count; i++) {
		there[i] = card_region(&nic, &card, option.size);
		fill(host.bytes, option.size, i);
		must_move(&nic, WRITE, &host, 0, &there[i], 0, option.size);
	}
	for (unsigned i = count; i-- > 0;) {
		fill(host.bytes, option.size, i);
		must_move(&nic, READ, &host, option.size, &there[i], 0, option.size);
		wrong += memcmp(host.bytes, host.bytes + option.size, option.size) != 0;
		if (i % 2 && ibv_dereg_mr(there[i].mr))
			failed("dereg_mr", errno);
	}
	for (unsigned i = 0; i < count; i += 2)
		if (ibv_dereg_mr(there[i].mr))
			failed("dereg_mr", errno);
	printf("wrong %u\n", wrong);
}

/* A region larger than the guest's memory: bytes at its beginning, middle and end, and what is between stays. */
static void large(void)
{
	struct card card = open_card();
	struct nic nic = open_nic(IBV_QPT_DRIVER);
	const uint64_t piece = 1 << 20;
	struct region there = card_region(&nic, &card, option.size);
	struct region host = host_region(&nic, 2 * piece);
	const uint64_t places[] = { 0, option.size / 2 - 4096 - 5, option.size / 2 + (513ull << 12), option.size - piece };
	unsigned wrong = 0;

	for (unsigned i = 0; i < 4; i++) {
		fill(host.bytes, piece, 7 + i);
		must_move(&nic, WRITE, &host, 0, &there, places[i], piece);
	}
	for (unsigned i = 0; i < 4; i++) {
		fill(host.bytes, piece, 7 + i);
		must_move(&nic, READ, &host, piece, &there, places[i], piece);
		wrong += memcmp(host.bytes, host.bytes + piece, piece) != 0;
	}
	printf("wrong %u\n", wrong);
	printf("beyond %d\n", move(&nic, WRITE, &host, 0, &there, option.size - 8, 64));
	/* All of it in pieces as large as the card's memory is moved in, one side of it to the other. */
	for (uint64_t at = 0; option.count && at < option.size / 2; at += 1 << 28)
		must_move(&nic, READ, &there, at, &there, option.size / 2 + at, 1 << 28);
}

/* Datagrams out of memory of the card into host memory. */
static void datagrams(void)
{
	struct card card = open_card();
	struct nic srd = open_nic(IBV_QPT_DRIVER);
	struct nic nic = open_nic(IBV_QPT_UD);
	const uint32_t length = 4096, header = 40;
	struct region filling = card_region(&srd, &card, 1 << 20);
	struct region source, host = host_region(&srd, 1 << 20), sink = host_region(&nic, 1 << 20);
	unsigned wrong = 0;

	card.next = card.base;
	source = card_region(&nic, &card, 1 << 20);
	fill(host.bytes, 1 << 20, 3);
	must_move(&srd, WRITE, &host, 0, &filling, 0, 1 << 20);
	for (unsigned i = 0; i < option.count; i++) {
		const uint64_t from = i % 128 * length;

		post_receive(&nic, &sink, 0, length + header);
		post(&nic, SEND, &source, from, NULL, 0, length);
		for (int j = 0; j < 2; j++) {
			struct ibv_wc wc = wait_for(&nic);

			if (wc.status || (wc.opcode == IBV_WC_RECV && wc.byte_len != length + header))
				failed("datagram", wc.status ? EIO : EMSGSIZE);
		}
		wrong += memcmp(sink.bytes + header, host.bytes + from, length) != 0;
	}
	printf("wrong %u\n", wrong);
}

static int earlier(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

/* Times: of one operation after the other, and with a full queue. */
static void times(void)
{
	struct card card = open_card();
	struct nic nic = open_nic(IBV_QPT_DRIVER);
	struct region there = card_region(&nic, &card, 2 * option.size);
	struct region host = host_region(&nic, option.size);
	double *took = calloc(option.count, sizeof(*took));

	fill(host.bytes, option.size, 1);
	for (int what = READ; what <= WRITE; what++) {
		double start, all;

		must_move(&nic, what, &host, 0, &there, 0, option.size);
		for (unsigned i = 0; i < option.count; i++) {
			start = seconds();
			must_move(&nic, what, &host, 0, &there, 0, option.size);
			took[i] = seconds() - start;
		}
		qsort(took, option.count, sizeof(*took), earlier);
		start = seconds();
		for (unsigned posted = 0, done = 0; done < option.count;) {
			while (posted < option.count && posted - done < DEPTH / 2) {
				post(&nic, what, &host, 0, &there, 0, option.size);
				posted++;
			}
			if (wait_for(&nic).status)
				failed("completion", EIO);
			done++;
		}
		all = seconds() - start;
		printf("%s %.2f %.2f %.2f %.2f\n", what == READ ? "read" : "write", took[0] * 1e6,
		       took[option.count / 2] * 1e6, took[option.count * 9 / 10] * 1e6, all / option.count * 1e6);
	}
}

/* Transfers without end, until one fails. */
static void endless(void)
{
	struct card card = open_card();
	struct nic nic = open_nic(IBV_QPT_DRIVER);
	struct region there = card_region(&nic, &card, option.size);
	struct region host = host_region(&nic, option.size);

	fill(host.bytes, option.size, 1);
	printf("running\n");
	fflush(stdout);
	for (unsigned posted = 0, done = 0;; done++) {
		struct ibv_wc wc;

		for (; posted - done < DEPTH / 2; posted++)
			post(&nic, posted % 2 ? READ : WRITE, &host, 0, &there, 0, option.size);
		wc = wait_for(&nic);
		if (wc.status) {
			printf("completion %d %s\n", wc.status, ibv_wc_status_str(wc.status));
			exit(1);
		}
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} tasks[] = {
	{ "transfer", transfer }, { "many", many },   { "large", large },
	{ "datagrams", datagrams }, { "times", times }, { "endless", endless },
};

int main(int count, char **words)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 2; i + 1 < count; i += 2) {
		const char *value = words[i + 1];

		if (strcmp(words[i], "--card") == 0)
			option.card = value;
		else if (strcmp(words[i], "--nic") == 0)
			option.nic = atoi(value);
		else if (strcmp(words[i], "--size") == 0)
			option.size = strtoull(value, NULL, 0);
		else if (strcmp(words[i], "--count") == 0)
			option.count = strtoul(value, NULL, 0);
		else
			failed(words[i], EINVAL);
	}
	for (unsigned i = 0; count > 1 && i < sizeof(tasks) / sizeof(*tasks); i++) {
		if (strcmp(words[1], tasks[i].name) != 0)
			continue;
		tasks[i].run();
		printf("done\n");
		return 0;
	}
	failed("task", EINVAL);
}
