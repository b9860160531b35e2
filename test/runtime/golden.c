/*
 * Arguments of ioctls as a C program makes them, in hexadecimal: what the runtime's bytes are compared with
 * (golden.ts, checked by golden.test.ts).
 */

#include <stdio.h>
#include <string.h>
#include <drm/habanalabs_accel.h>

static void show(const char *name, const void *data, size_t size)
{
	printf("%s ", name);
	for (size_t i = 0; i < size; i++)
		printf("%02x", ((const unsigned char *)data)[i]);
	puts("");
}

#define SHOW(type, name, ...) \
	do { \
		type a; \
		memset(&a, 0, sizeof(a)); \
		__VA_ARGS__; \
		show(name, &a, sizeof(a)); \
	} while (0)

int main(void)
{
	SHOW(union hl_cb_args, "cbCreate",
	     a.in.op = HL_CB_OP_CREATE,
	     a.in.cb_size = 5000);
	SHOW(union hl_cb_args, "cbCreated",
	     a.out.cb_handle = 0x2000000000001000ull);
	SHOW(union hl_cb_args, "cbDestroy",
	     a.in.op = HL_CB_OP_DESTROY,
	     a.in.cb_handle = 0x2000000000001000ull);
	SHOW(union hl_cb_args, "cbInfo",
	     a.in.op = HL_CB_OP_INFO,
	     a.in.cb_handle = 0x2000000000001000ull);
	SHOW(union hl_mem_args, "map",
	     a.in.op = HL_MEM_OP_MAP,
	     a.in.flags = HL_MEM_USERPTR | HL_MEM_FORCE_HINT,
	     a.in.map_host.host_virt_addr = 0x700000000000ull,
	     a.in.map_host.hint_addr = 0x1000000000000ull,
	     a.in.map_host.mem_size = 8192);
	SHOW(union hl_mem_args, "mapped",
	     a.out.device_virt_addr = 0x1000000000000ull);
	SHOW(union hl_mem_args, "unmap",
	     a.in.op = HL_MEM_OP_UNMAP,
	     a.in.unmap.device_virt_addr = 0x1000000000000ull);
	SHOW(union hl_mem_args, "alloc",
	     a.in.op = HL_MEM_OP_ALLOC,
	     a.in.alloc.mem_size = 1 << 20);
	SHOW(union hl_mem_args, "free",
	     a.in.op = HL_MEM_OP_FREE,
	     a.in.alloc.mem_size = 1 << 20);
	SHOW(union hl_mem_args, "export",
	     a.in.op = HL_MEM_OP_EXPORT_DMABUF_FD,
	     a.in.export_dmabuf_fd.addr = 0x20000000,
	     a.in.export_dmabuf_fd.mem_size = 0x2000,
	     a.in.flags = 02 | 02000000);
	SHOW(union hl_mem_args, "exported",
	     a.out.fd = 9);
	SHOW(union hl_mem_args, "tsAlloc",
	     a.in.op = HL_MEM_OP_TS_ALLOC,
	     a.in.num_of_elements = 1000);
	SHOW(struct hl_cs_chunk, "chunk",
	     a.cb_handle = 0x2000000000001000ull,
	     a.queue_index = GAUDI_QUEUE_ID_DMA_1_2,
	     a.cb_size = 24);
	SHOW(struct hl_cs_chunk, "internalChunk",
	     a.cb_handle = 0x7ff0000080ull,
	     a.queue_index = GAUDI_QUEUE_ID_DMA_2_0,
	     a.cb_size = 64,
	     a.cs_chunk_flags = HL_CS_CHUNK_FLAGS_USER_ALLOC_CB);
	SHOW(union hl_cs_args, "submit",
	     a.in.chunks_restore = 0x700000000000ull,
	     a.in.chunks_execute = 0x700000000040ull,
	     a.in.num_chunks_restore = 1,
	     a.in.num_chunks_execute = 2,
	     a.in.timeout = 7,
	     a.in.cs_flags = HL_CS_FLAGS_FORCE_RESTORE | HL_CS_FLAGS_TIMESTAMP | HL_CS_FLAGS_CUSTOM_TIMEOUT | HL_CS_FLAGS_SKIP_RESET_ON_TIMEOUT);
	SHOW(union hl_cs_args, "submitted",
	     a.out.seq = 42,
	     a.out.sob_count_before_submission = 3);
	SHOW(union hl_cs_args, "stagedFirst",
	     a.in.chunks_execute = 0x700000000000ull,
	     a.in.num_chunks_execute = 1,
	     a.in.cs_flags = HL_CS_FLAGS_STAGED_SUBMISSION | HL_CS_FLAGS_STAGED_SUBMISSION_FIRST | HL_CS_FLAGS_ENCAP_SIGNALS,
	     a.in.encaps_sig_handle_id = 5);
	SHOW(union hl_cs_args, "stagedLast",
	     a.in.chunks_execute = 0x700000000000ull,
	     a.in.num_chunks_execute = 1,
	     a.in.seq = 42,
	     a.in.cs_flags = HL_CS_FLAGS_STAGED_SUBMISSION | HL_CS_FLAGS_STAGED_SUBMISSION_LAST);
	SHOW(struct hl_cs_chunk, "signalChunk",
	     a.queue_index = GAUDI_QUEUE_ID_DMA_0_3);
	SHOW(union hl_cs_args, "signal",
	     a.in.chunks_execute = 0x700000000000ull,
	     a.in.num_chunks_execute = 1,
	     a.in.cs_flags = HL_CS_FLAGS_SIGNAL);
	SHOW(union hl_cs_args, "signalled",
	     a.out.seq = 17,
	     a.out.sob_base_addr_offset = 0x492240,
	     a.out.sob_count_before_submission = 4);
	SHOW(struct hl_cs_chunk, "waitChunk",
	     a.queue_index = GAUDI_QUEUE_ID_DMA_1_0,
	     a.signal_seq_arr = 0x700000000040ull,
	     a.num_signal_seq_arr = 1);
	SHOW(union hl_cs_args, "waitSignal",
	     a.in.chunks_execute = 0x700000000000ull,
	     a.in.num_chunks_execute = 1,
	     a.in.cs_flags = HL_CS_FLAGS_WAIT);
	SHOW(struct hl_cs_chunk, "encapsChunk",
	     a.queue_index = GAUDI_QUEUE_ID_DMA_1_0,
	     a.encaps_signal_seq = 42,
	     a.encaps_signal_offset = 2);
	SHOW(union hl_cs_args, "waitEncaps",
	     a.in.chunks_execute = 0x700000000000ull,
	     a.in.num_chunks_execute = 1,
	     a.in.cs_flags = HL_CS_FLAGS_WAIT | HL_CS_FLAGS_ENCAP_SIGNALS);
	SHOW(struct hl_cs_chunk, "collectiveChunk",
	     a.queue_index = GAUDI_QUEUE_ID_DMA_5_0,
	     a.signal_seq_arr = 0x700000000040ull,
	     a.num_signal_seq_arr = 1,
	     a.collective_engine_id = GAUDI_ENGINE_ID_DMA_5);
	SHOW(union hl_cs_args, "reserve",
	     a.in.encaps_signals_count = 20,
	     a.in.encaps_signals_q_idx = 4,
	     a.in.cs_flags = HL_CS_FLAGS_RESERVE_SIGNALS_ONLY);
	SHOW(union hl_cs_args, "reserved",
	     a.out.handle_id = 5,
	     a.out.count = 21,
	     a.out.sob_base_addr_offset = 0x492240);
	SHOW(union hl_cs_args, "unreserve",
	     a.in.encaps_sig_handle_id = 5,
	     a.in.cs_flags = HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY);
	SHOW(union hl_cs_args, "engineCores",
	     a.in.num_engine_cores = 2,
	     a.in.core_command = HL_ENGINE_CORE_HALT,
	     a.in.cs_flags = HL_CS_FLAGS_ENGINE_CORE_COMMAND);
	SHOW(union hl_cs_args, "engines",
	     a.in.num_engines = 1,
	     a.in.engine_command = HL_ENGINE_STALL,
	     a.in.cs_flags = HL_CS_FLAGS_ENGINES_COMMAND);
	SHOW(union hl_cs_args, "flush",
	     a.in.cs_flags = HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES);
	SHOW(union hl_wait_cs_args, "wait",
	     a.in.seq = 42,
	     a.in.timeout_us = 1500);
	SHOW(union hl_wait_cs_args, "busy",
	     a.out.status = HL_WAIT_CS_STATUS_BUSY);
	SHOW(union hl_wait_cs_args, "completed",
	     a.out.status = HL_WAIT_CS_STATUS_COMPLETED,
	     a.out.flags = HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD,
	     a.out.timestamp_nsec = 123456789012ll);
	SHOW(union hl_wait_cs_args, "gone",
	     a.out.status = HL_WAIT_CS_STATUS_COMPLETED,
	     a.out.flags = HL_WAIT_CS_STATUS_FLAG_GONE);
	SHOW(union hl_wait_cs_args, "waitSeveral",
	     a.in.seq = 0x700000000000ull,
	     a.in.timeout_us = 0,
	     a.in.flags = HL_WAIT_CS_FLAGS_MULTI_CS,
	     a.in.seq_arr_len = 3);
	SHOW(union hl_wait_cs_args, "severalDone",
	     a.out.cs_completion_map = 5);
	SHOW(struct hl_info_args, "infoSync",
	     a.return_pointer = 0x700000000000ull,
	     a.return_size = sizeof(struct hl_info_sync_manager),
	     a.op = HL_INFO_SYNC_MANAGER,
	     a.dcore_id = HL_GAUDI_EN_DCORE);
	SHOW(struct hl_info_args, "infoEventfd",
	     a.op = HL_INFO_REGISTER_EVENTFD,
	     a.return_pointer = 0x700000000000ull,
	     a.eventfd = 4);
	SHOW(struct hl_info_args, "infoPll",
	     a.op = HL_INFO_PLL_FREQUENCY,
	     a.return_size = sizeof(struct hl_pll_frequency_info),
	     a.return_pointer = 0x700000000000ull,
	     a.pll_index = HL_GAUDI_TPC_PLL);
	SHOW(struct hl_debug_args, "debugMode",
	     a.op = HL_DEBUG_OP_SET_MODE,
	     a.enable = 1);
	SHOW(struct hl_info_hw_idle, "idleAnswer",
	     a.busy_engines_mask = 0x2001,
	     a.busy_engines_mask_ext[0] = 0x2001);
	SHOW(struct hl_info_sync_manager, "syncAnswer",
	     a.first_available_sync_object = 144,
	     a.first_available_monitor = 72,
	     a.first_available_cq = 1);
	return 0;
}
