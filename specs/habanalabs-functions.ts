/**
 * Functions of the habanalabs driver, by the file that has them, in Linux 6.12 and 7.3: names alone, for kernels whose modules do
 * not tell. Those of goya/ and gaudi2/ that are not listed begin with the name of their folder.
 * Source: drivers/accel/habanalabs of both.
 */
export const driverFunctions: Readonly<Record<string, string>> = {
  'common/asid.c': `
    hl_asid_alloc hl_asid_fini hl_asid_free hl_asid_init
  `,
  'common/command_buffer.c': `
    cb_do_release cb_fini cb_map_mem cb_unmap_mem hl_cb_alloc hl_cb_create hl_cb_destroy hl_cb_get hl_cb_info
    hl_cb_ioctl hl_cb_kernel_create hl_cb_mmap hl_cb_mmap_mem_alloc hl_cb_mmap_mem_release hl_cb_pool_fini
    hl_cb_pool_init hl_cb_put hl_cb_va_pool_fini hl_cb_va_pool_init
  `,
  'common/command_submission.c': `
    _hl_cs_wait_ioctl _hl_interrupt_ts_reg_ioctl _hl_interrupt_wait_ioctl _hl_interrupt_wait_ioctl_user_addr
    allocate_cs complete_multi_cs cs_completion cs_do_release cs_get cs_get_unless_zero cs_handle_tdr cs_ioctl_default
    cs_ioctl_engine_cores cs_ioctl_engines cs_ioctl_extract_signal_seq cs_ioctl_flush_pci_hbw_writes
    cs_ioctl_reserve_signals cs_ioctl_signal_wait cs_ioctl_signal_wait_create_jobs cs_ioctl_unreserve_signals
    cs_job_do_release cs_needs_completion cs_needs_timeout cs_parser cs_put cs_release_sob_reset_handler cs_rollback
    cs_staged_submission cs_timedout force_complete_cs force_complete_multi_cs get_cb_from_cs_chunk
    get_stream_master_qid_mask hl_abort_waiting_for_cs_completions hl_complete_job hl_cs_allocate_job
    hl_cs_copy_chunk_array hl_cs_ctx_switch hl_cs_get_cs_type hl_cs_ioctl hl_cs_job_put hl_cs_poll_fences
    hl_cs_rollback_all hl_cs_sanity_checks hl_cs_signal_sob_wraparound_handler hl_cs_wait_ioctl hl_fence_get
    hl_fence_init hl_fence_put hl_fence_release hl_fences_put hl_gen_sob_mask hl_get_active_cs_num
    hl_interrupt_wait_ioctl hl_multi_cs_completion_init hl_multi_cs_wait_ioctl hl_pop_cs_outcome hl_push_cs_outcome
    hl_release_pending_user_interrupts hl_sob_reset hl_sob_reset_error hl_staged_cs_find_first hl_usecs64_to_jiffies
    hl_wait_for_fence hl_wait_ioctl hl_wait_multi_cs_completion hl_wait_multi_cs_completion_fini
    hl_wait_multi_cs_completion_init hw_sob_get hw_sob_put hw_sob_put_err is_cb_patched is_staged_cs_last_exists
    job_wq_completion release_reserved_encaps_signals set_record_cq_info staged_cs_get staged_cs_put
    ts_get_and_handle_kernel_record unregister_timestamp_node validate_and_get_ts_record validate_queue_index
    wake_pending_user_interrupt_threads
  `,
  'common/context.c': `
    encaps_handle_do_release hl_ctx_create hl_ctx_do_release hl_ctx_fini hl_ctx_get hl_ctx_get_fence
    hl_ctx_get_fence_locked hl_ctx_get_fences hl_ctx_get_unless_zero hl_ctx_init hl_ctx_mgr_fini hl_ctx_mgr_init
    hl_ctx_put hl_encaps_release_handle_and_put_ctx hl_encaps_release_handle_and_put_sob
    hl_encaps_release_handle_and_put_sob_ctx hl_encaps_sig_mgr_fini hl_encaps_sig_mgr_init hl_get_compute_ctx
  `,
  'common/debugfs.c': `
    add_files_to_device add_secured_nodes check_if_cfg_access_and_log command_buffers_show
    command_submission_jobs_show command_submission_show device_va_to_pa dio_hl2ssd_show dio_hl2ssd_write
    dio_reset_show dio_reset_write dio_ssd2hl_show dio_ssd2hl_write dio_stats_show dump_cfg_access_entry engines_show
    hl_access_dev_mem_by_region hl_access_host_mem hl_access_mem hl_check_razwi_happened hl_clk_gate_read
    hl_clk_gate_write hl_data_read32 hl_data_read64 hl_data_write32 hl_data_write64 hl_debugfs_add_cb
    hl_debugfs_add_cs hl_debugfs_add_ctx_mem_hash hl_debugfs_add_device hl_debugfs_add_file hl_debugfs_add_job
    hl_debugfs_add_userptr hl_debugfs_cfg_access_history_dump hl_debugfs_device_fini hl_debugfs_device_init
    hl_debugfs_i2c_read hl_debugfs_i2c_write hl_debugfs_led_set hl_debugfs_open hl_debugfs_remove_cb
    hl_debugfs_remove_cs hl_debugfs_remove_ctx_mem_hash hl_debugfs_remove_file hl_debugfs_remove_job
    hl_debugfs_remove_userptr hl_debugfs_set_state_dump hl_debugfs_write hl_device_read hl_device_write
    hl_dma_size_write hl_get_power_state hl_i2c_data_read hl_i2c_data_write hl_is_device_internal_memory_va
    hl_is_device_va hl_led0_write hl_led1_write hl_led2_write hl_memory_scrub hl_monitor_dump_trigger
    hl_security_violations_read hl_set_power_state hl_state_dump_read hl_state_dump_write hl_stop_on_err_read
    hl_stop_on_err_write hl_timeout_locked_read hl_timeout_locked_write mmu_ack_error mmu_ack_error_value_write
    mmu_asid_va_write mmu_show userptr_lookup_show userptr_lookup_write userptr_show vm_show
  `,
  'common/decoder.c': `
    dec_abnrm_intr_work dec_print_abnrm_intr_source hl_dec_ctx_fini hl_dec_fini hl_dec_init
  `,
  'common/device.c': `
    __hl_mmap cdev_sysfs_debugfs_add cdev_sysfs_debugfs_remove cleanup_resources device_disable_open_processes
    device_early_fini device_early_init device_hard_reset_pending device_heartbeat_schedule device_init_cdev
    device_kill_open_processes device_late_fini device_late_init device_release_func device_release_watchdog_func
    handle_reset_trigger hl_abort_waiting_for_completions hl_access_cfg_region hl_access_dev_mem
    hl_access_sram_dram_region hl_asic_dma_alloc_coherent_caller hl_asic_dma_free_coherent_caller
    hl_asic_dma_free_common hl_asic_dma_map_sgtable hl_asic_dma_pool_free_caller hl_asic_dma_pool_zalloc_caller
    hl_asic_dma_unmap_sgtable hl_capture_engine_err hl_capture_fw_err hl_capture_hw_err hl_capture_page_fault
    hl_capture_razwi hl_capture_user_mappings hl_cpu_accessible_dma_pool_alloc hl_cpu_accessible_dma_pool_free
    hl_ctrl_device_operational hl_device_cond_reset hl_device_eq_heartbeat_received hl_device_fini hl_device_heartbeat
    hl_device_init hl_device_operational hl_device_release hl_device_release_ctrl hl_device_reset hl_device_resume
    hl_device_set_debug_mode hl_device_status hl_device_suspend hl_device_utilization hl_dma_alloc_common
    hl_dma_map_sgtable_caller hl_dma_unmap_sgtable_caller hl_enable_err_info_capture hl_engine_data_sprintf
    hl_eq_cpld_shutdown_event_handle hl_eq_heartbeat_event_handle hl_handle_clk_change_event hl_handle_critical_hw_err
    hl_handle_fw_err hl_handle_page_fault hl_handle_razwi hl_hpriv_get hl_hpriv_put hl_init_cpu_for_irq hl_mmap
    hl_notifier_event_send hl_notifier_event_send_all hl_rreg hl_set_dram_bar hl_set_irq_affinity hl_wreg
    hpriv_release is_pci_link_healthy print_device_in_use_info print_idle_status_mask reset_heartbeat_debug_info
    send_disable_pci_access stringify_time_of_last_heartbeat take_release_locks
  `,
  'common/firmware_if.c': `
    detect_cpu_boot_status extract_fw_ver_from_str extract_u32_until_given_char fw_read_errors fw_report_boot_dev0
    fw_report_boot_dev1 get_used_pll_index hl_fw_ask_halt_machine_without_linux hl_fw_ask_hard_reset_without_linux
    hl_fw_boot_fit_update_state hl_fw_compat_crc32 hl_fw_copy_fw_to_device hl_fw_copy_msg_to_device
    hl_fw_cpu_accessible_dma_pool_alloc hl_fw_cpu_accessible_dma_pool_free hl_fw_cpucp_engine_core_asid_set
    hl_fw_cpucp_handshake hl_fw_cpucp_info_get hl_fw_cpucp_pci_counters_get hl_fw_cpucp_pll_info_get
    hl_fw_cpucp_power_get hl_fw_cpucp_total_energy_get hl_fw_dram_pending_row_get hl_fw_dram_replaced_row_get
    hl_fw_dynamic_copy_image hl_fw_dynamic_copy_msg hl_fw_dynamic_extract_fw_response hl_fw_dynamic_init_cpu
    hl_fw_dynamic_load_image hl_fw_dynamic_read_and_validate_descriptor hl_fw_dynamic_read_descriptor_msg
    hl_fw_dynamic_read_device_fw_version hl_fw_dynamic_report_error_status hl_fw_dynamic_request_descriptor
    hl_fw_dynamic_send_clear_cmd hl_fw_dynamic_send_cmd hl_fw_dynamic_send_msg hl_fw_dynamic_send_protocol_cmd
    hl_fw_dynamic_update_linux_interrupt_if hl_fw_dynamic_validate_descriptor hl_fw_dynamic_validate_memory_bound
    hl_fw_dynamic_validate_response hl_fw_dynamic_wait_for_boot_fit_active hl_fw_dynamic_wait_for_linux_active
    hl_fw_dynamic_wait_for_status hl_fw_get_clk_rate hl_fw_get_dev_info_signed hl_fw_get_eeprom_data
    hl_fw_get_frequency hl_fw_get_max_power hl_fw_get_monitor_dump hl_fw_get_sec_attest_data hl_fw_get_sec_attest_info
    hl_fw_init_cpu hl_fw_linux_update_state hl_fw_load_fw_to_device hl_fw_preboot_update_state hl_fw_read_preboot_caps
    hl_fw_read_preboot_status hl_fw_send_cpu_message hl_fw_send_device_activity hl_fw_send_generic_request
    hl_fw_send_heartbeat hl_fw_send_msi_info_msg hl_fw_send_pci_access_msg hl_fw_send_soft_reset hl_fw_set_frequency
    hl_fw_set_max_power hl_fw_set_pll_profile hl_fw_static_init_cpu hl_fw_static_read_device_fw_version
    hl_fw_static_read_preboot_status hl_fw_test_cpu_queue hl_fw_unmask_irq hl_fw_unmask_irq_arr hl_fw_version_cmp
    hl_fw_wait_preboot_ready hl_get_preboot_major_minor hl_get_sw_major_minor_subminor hl_release_firmware
    hl_request_fw
  `,
  'common/habanalabs_drv.c': `
    allocate_device_id copy_kernel_module_params_to_device create_hdev destroy_hdev fixup_device_params
    fixup_device_params_per_asic get_asic_type hl_device_open hl_device_open_ctrl hl_exit hl_init hl_pci_err_detected
    hl_pci_err_resume hl_pci_err_slot_reset hl_pci_probe hl_pci_remove hl_pci_reset_done hl_pci_reset_prepare
    hl_pmops_resume hl_pmops_suspend is_asic_secured set_driver_behavior_per_device
  `,
  'common/habanalabs_ioctl.c': `
    _hl_info_ioctl _hl_ioctl clk_throttle_info cs_counters_info cs_timeout_info debug_coresight dev_info_signed
    dev_mem_alloc_page_sizes_info device_status_info device_utilization dram_pending_rows_info dram_replaced_rows_info
    dram_usage_info engine_err_info engine_status_info eventfd_register eventfd_unregister events_info fw_err_info
    get_clk_rate get_reset_count hl_debug_ioctl hl_info_ioctl hl_info_ioctl_control hl_ioctl_control hw_err_info
    hw_events_info hw_idle hw_ip_info last_err_open_dev_info open_stats_info page_fault_info pci_counters_info
    pll_frequency_info power_info razwi_info sec_attest_info send_fw_generic_request sync_manager_info time_sync_info
    total_energy_consumption_info undefined_opcode_info user_mappings_info
  `,
  'common/hldio.c': `
    hl_device_supports_nvme hl_dio_count_io hl_dio_fd_register hl_dio_fd_unregister hl_dio_get_iopath
    hl_dio_put_iopath hl_dio_set_io_enabled hl_dio_ssd2hl hl_dio_start hl_dio_stop hl_dio_va2page hl_dio_validate_io
    hl_direct_io hl_direct_io_complete hl_p2p_region_fini hl_p2p_region_fini_all hl_p2p_region_init
  `,
  'common/hw_queue.c': `
    cpu_queue_init ext_and_cpu_queue_init ext_queue_init ext_queue_sanity_checks ext_queue_schedule_job
    hl_hw_queue_add_ptr hl_hw_queue_encaps_sig_set_sob_info hl_hw_queue_inc_ci_kernel hl_hw_queue_reset
    hl_hw_queue_schedule_cs hl_hw_queue_send_cb_no_cmpl hl_hw_queue_submit_bd hl_hw_queue_update_ci
    hl_hw_queues_create hl_hw_queues_destroy hw_queue_init hw_queue_sanity_checks hw_queue_schedule_job init_signal_cs
    init_signal_wait_cs init_wait_cs int_queue_init int_queue_sanity_checks int_queue_schedule_job queue_ci_get
    queue_fini queue_free_slots queue_init sync_stream_queue_init sync_stream_queue_reset
  `,
  'common/hwmon.c': `
    adjust_hwmon_flags fixup_attr_legacy_fw fixup_flags_legacy_fw hl_build_hwmon_channel_info hl_get_current
    hl_get_fan_speed hl_get_power hl_get_pwm_info hl_get_temperature hl_get_voltage hl_hwmon_fini hl_hwmon_init
    hl_hwmon_release_resources hl_is_visible hl_read hl_set_current hl_set_power hl_set_pwm_info hl_set_temperature
    hl_set_voltage hl_write
  `,
  'common/irq.c': `
    cs_finish handle_registration_node handle_tpc_interrupt handle_unexpected_user_interrupt
    handle_user_interrupt_ts_list handle_user_interrupt_wait_list hl_cq_fini hl_cq_inc_ptr hl_cq_init hl_cq_reset
    hl_eq_dump hl_eq_fini hl_eq_inc_ptr hl_eq_init hl_eq_reset hl_irq_eq_error_interrupt_thread_handler
    hl_irq_handler_cq hl_irq_handler_dec_abnrm hl_irq_handler_eq hl_irq_user_interrupt_handler
    hl_irq_user_interrupt_thread_handler hl_ts_free_objects irq_handle_eqe job_finish
  `,
  'common/memory.c': `
    add_va_block add_va_block_locked alloc_device_memory alloc_sgt_from_device_pages allocate_timestamps_buffers
    clear_va_list_locked dma_map_host_va dma_unmap_host_va dram_pg_pool_do_release export_dmabuf
    export_dmabuf_from_addr free_device_memory free_phys_pg_pack get_phys_pg_pack_from_hash_node get_user_memory
    get_va_block get_vm_hash_node_locked hl_dmabuf_attach hl_get_va_range_type hl_hw_block_mem_fini
    hl_hw_block_mem_init hl_hw_block_mmap hl_map_dmabuf hl_mem_ioctl hl_pin_host_memory hl_release_dmabuf
    hl_reserve_va_block hl_ts_alloc_buf hl_ts_mmap hl_unmap_dmabuf hl_unpin_host_memory hl_unreserve_va_block
    hl_userptr_delete_list hl_userptr_is_pinned hl_vm_ctx_fini hl_vm_ctx_init hl_vm_fini hl_vm_init hw_block_vm_close
    init_phys_pg_pack_from_userptr map_block map_device_va map_phys_pg_pack memhash_node_export_get
    memhash_node_export_put merge_va_blocks_locked print_va_list_locked set_alloc_page_size set_dma_sg ts_buff_release
    unmap_device_va unmap_phys_pg_pack va_range_fini va_range_init validate_export_params
    validate_export_params_common validate_export_params_no_mmu vm_ctx_init_with_ranges
  `,
  'common/memory_mgr.c': `
    hl_mem_mgr_fini hl_mem_mgr_fini_stats_inc hl_mem_mgr_fini_stats_reset hl_mem_mgr_idr_destroy hl_mem_mgr_init
    hl_mem_mgr_mmap hl_mmap_mem_buf_alloc hl_mmap_mem_buf_destroy hl_mmap_mem_buf_get hl_mmap_mem_buf_put
    hl_mmap_mem_buf_put_handle hl_mmap_mem_buf_release hl_mmap_mem_buf_remove_idr_locked hl_mmap_mem_buf_vm_close
  `,
  'common/mmu/mmu.c': `
    hl_is_dram_va hl_mmu_ctx_fini hl_mmu_ctx_init hl_mmu_descramble_addr hl_mmu_dr_alloc_hop hl_mmu_dr_clear_pte
    hl_mmu_dr_fini hl_mmu_dr_flush hl_mmu_dr_free_hop hl_mmu_dr_free_pgt_node hl_mmu_dr_get_alloc_next_hop_addr
    hl_mmu_dr_get_hop0_addr hl_mmu_dr_get_pgt_info hl_mmu_dr_get_phys_addr hl_mmu_dr_get_phys_hop0_addr
    hl_mmu_dr_get_pte hl_mmu_dr_init hl_mmu_dr_put_pte hl_mmu_dr_write_final_pte hl_mmu_dr_write_pte hl_mmu_fini
    hl_mmu_get_funcs hl_mmu_get_hop_pte_phys_addr hl_mmu_get_next_hop_addr hl_mmu_get_prop hl_mmu_get_real_page_size
    hl_mmu_get_tlb_info hl_mmu_hr_alloc_hop hl_mmu_hr_clear_pte hl_mmu_hr_fini hl_mmu_hr_flush
    hl_mmu_hr_free_hop_remove_pgt hl_mmu_hr_get_alloc_next_hop hl_mmu_hr_get_next_hop_pgt_info hl_mmu_hr_get_pte
    hl_mmu_hr_get_tlb_info hl_mmu_hr_init hl_mmu_hr_pool_destroy hl_mmu_hr_pte_phys_to_virt hl_mmu_hr_put_pte
    hl_mmu_hr_write_pte hl_mmu_if_set_funcs hl_mmu_init hl_mmu_invalidate_cache hl_mmu_invalidate_cache_range
    hl_mmu_map_contiguous hl_mmu_map_page hl_mmu_pa_page_with_offset hl_mmu_prefetch_cache_range
    hl_mmu_prefetch_work_function hl_mmu_scramble_addr hl_mmu_unmap_contiguous hl_mmu_unmap_page hl_mmu_va_to_pa
    mmu_dma_mem_free_from_chunk
  `,
  'common/mmu/mmu_v1.c': `
    dram_default_mapping_fini dram_default_mapping_init get_hop_pte_addr hl_mmu_v1_ctx_fini hl_mmu_v1_ctx_init
    hl_mmu_v1_get_tlb_info hl_mmu_v1_map hl_mmu_v1_set_funcs hl_mmu_v1_swap_in hl_mmu_v1_swap_out hl_mmu_v1_unmap
  `,
  'common/mmu/mmu_v2.c': `
    hl_mmu_v2_ctx_fini hl_mmu_v2_ctx_init hl_mmu_v2_get_tlb_info hl_mmu_v2_map hl_mmu_v2_set_funcs hl_mmu_v2_swap_in
    hl_mmu_v2_swap_out hl_mmu_v2_unmap
  `,
  'common/mmu/mmu_v2_hr.c': `
    _hl_mmu_v2_hr_map _hl_mmu_v2_hr_unmap hl_mmu_v2_get_last_hop hl_mmu_v2_hr_add_pgt_info hl_mmu_v2_hr_ctx_fini
    hl_mmu_v2_hr_ctx_init hl_mmu_v2_hr_fini hl_mmu_v2_hr_get_hop0_pgt_info hl_mmu_v2_hr_get_pgt_info
    hl_mmu_v2_hr_get_tlb_info hl_mmu_v2_hr_get_tlb_mapping_params hl_mmu_v2_hr_init hl_mmu_v2_hr_set_funcs
    hl_mmu_v2_hr_swap_in hl_mmu_v2_hr_swap_out
  `,
  'common/pci/pci.c': `
    hl_get_pci_memory_region hl_pci_bars_map hl_pci_bars_unmap hl_pci_elbi_read hl_pci_elbi_write hl_pci_fini
    hl_pci_iatu_write hl_pci_init hl_pci_set_inbound_region hl_pci_set_outbound_region
  `,
  'common/security.c': `
    hl_ack_pb hl_ack_pb_security_violations hl_ack_pb_single_dcore hl_ack_pb_with_mask
    hl_automated_get_block_base_addr hl_check_block_range_exclusion hl_check_block_type_exclusion
    hl_check_for_glbl_errors hl_config_glbl_sec hl_get_pb_block hl_init_pb hl_init_pb_ranges
    hl_init_pb_ranges_single_dcore hl_init_pb_ranges_with_mask hl_init_pb_single_dcore hl_init_pb_with_mask
    hl_iterate_special_blocks hl_read_glbl_errors hl_secure_block hl_unsecure_register hl_unsecure_register_range
    hl_unsecure_registers hl_unsecure_registers_range hl_unset_pb_in_block
  `,
  'common/state_dump.c': `
    hl_format_as_binary hl_print_resize_sync_engine hl_snprintf_resize hl_state_dump
    hl_state_dump_alloc_read_sm_block_monitors hl_state_dump_free_monitors hl_state_dump_free_sync_objects
    hl_state_dump_free_sync_to_engine_map hl_state_dump_get_monitor_name hl_state_dump_get_sync_name
    hl_state_dump_get_sync_to_engine hl_state_dump_print_engine_fences hl_state_dump_print_fences
    hl_state_dump_print_monitors hl_state_dump_print_monitors_single_block hl_state_dump_print_syncs
    hl_state_dump_print_syncs_single_block hl_state_dump_read_sync_objects hl_sync_engine_to_string resize_to_fit
  `,
  'common/sysfs.c': `
    armcp_kernel_ver_show armcp_ver_show clk_cur_freq_mhz_show clk_max_freq_mhz_show clk_max_freq_mhz_store
    cpld_ver_show cpucp_kernel_ver_show cpucp_ver_show device_type_show eeprom_read_handler fuse_ver_show
    fw_os_ver_show hard_reset_cnt_show hard_reset_store hl_sysfs_add_dev_clk_attr hl_sysfs_add_dev_vrm_attr
    hl_sysfs_fini hl_sysfs_init max_power_show max_power_store module_id_show parent_device_show pci_addr_show
    preboot_btl_ver_show security_enabled_show soft_reset_cnt_show soft_reset_store status_show thermal_ver_show
    uboot_ver_show vrm_ver_show
  `,
  'gaudi/gaudi.c': `
    _gaudi_init_tpc_mem gaudi_ack_mmu_page_fault_or_access_error gaudi_add_arm_monitor_pkt gaudi_add_device_attr
    gaudi_add_end_of_cb_packets gaudi_add_fence_pkt gaudi_add_mon_msg_short gaudi_add_mon_pkts
    gaudi_add_sync_to_engine_map_entry gaudi_alloc_cpu_accessible_dma_mem gaudi_alloc_internal_qmans_pq_mem
    gaudi_block_mmap gaudi_check_if_razwi_happened gaudi_collective_init gaudi_collective_map_sobs
    gaudi_collective_master_init_job gaudi_collective_mstr_sob_mask_set gaudi_collective_slave_init_job
    gaudi_collective_wait_create_job gaudi_collective_wait_create_jobs gaudi_collective_wait_init_cs
    gaudi_compute_reset_late_init gaudi_context_switch gaudi_cpu_accessible_dma_pool_alloc
    gaudi_cpu_accessible_dma_pool_free gaudi_cpucp_info_get gaudi_cs_parser gaudi_ctx_fini gaudi_ctx_init
    gaudi_debugfs_read_dma gaudi_disable_clock_gating gaudi_disable_hbm_dma_qmans gaudi_disable_mme_qmans
    gaudi_disable_msi gaudi_disable_nic_qmans gaudi_disable_pci_dma_qmans gaudi_disable_timestamp
    gaudi_disable_tpc_qmans gaudi_dma_alloc_coherent gaudi_dma_core_transfer gaudi_dma_free_coherent
    gaudi_dma_pool_free gaudi_dma_pool_zalloc gaudi_early_fini gaudi_early_init gaudi_enable_events_from_fw
    gaudi_enable_msi gaudi_enable_msi_single gaudi_enable_qman gaudi_enable_timestamp gaudi_extract_ecc_info
    gaudi_fetch_psoc_frequency gaudi_fill_sobs_from_mon gaudi_free_internal_qmans_pq_mem gaudi_gen_signal_cb
    gaudi_gen_sync_to_engine_map gaudi_gen_wait_cb gaudi_get_device_time gaudi_get_dma_desc_list_size
    gaudi_get_eeprom_data gaudi_get_event_desc gaudi_get_events_stat gaudi_get_fence_addr gaudi_get_hw_block_id
    gaudi_get_hw_state gaudi_get_int_queue_base gaudi_get_monitor_dump gaudi_get_patched_cb_extra_size
    gaudi_get_pci_id gaudi_get_queue_id_for_cq gaudi_get_razwi_initiator_dma_name gaudi_get_razwi_initiator_name
    gaudi_get_signal_cb_size gaudi_get_sob_addr gaudi_get_stream_master_qid_arr gaudi_get_wait_cb_size
    gaudi_halt_engines gaudi_handle_ecc_event gaudi_handle_eqe gaudi_handle_last_pqes_on_err gaudi_handle_qman_err
    gaudi_handle_qman_err_generic gaudi_handle_sw_config_stream_data gaudi_hbm_dma_stall gaudi_hbm_event_to_dev
    gaudi_hbm_read_interrupts gaudi_hw_fini gaudi_hw_init gaudi_hw_queues_lock gaudi_hw_queues_unlock gaudi_init_cpu
    gaudi_init_cpu_queues gaudi_init_dma_core gaudi_init_dynamic_firmware_loader gaudi_init_e2e
    gaudi_init_firmware_loader gaudi_init_firmware_preload_params gaudi_init_golden_registers gaudi_init_hbm_cred
    gaudi_init_hbm_dma_qman gaudi_init_hbm_dma_qmans gaudi_init_iatu gaudi_init_mme_qman gaudi_init_mme_qmans
    gaudi_init_nic_qman gaudi_init_nic_qmans gaudi_init_pci_dma_qman gaudi_init_pci_dma_qmans gaudi_init_scrambler_hbm
    gaudi_init_scrambler_sram gaudi_init_static_firmware_loader gaudi_init_tpc_mem gaudi_init_tpc_qman
    gaudi_init_tpc_qmans gaudi_internal_cb_pool_fini gaudi_internal_cb_pool_init gaudi_irq_handler_single
    gaudi_is_device_idle gaudi_late_fini gaudi_late_init gaudi_load_boot_fit_to_device gaudi_load_firmware_to_device
    gaudi_map_pll_idx_to_fw_idx gaudi_memset_device_memory gaudi_memset_registers gaudi_mmap gaudi_mme_stall
    gaudi_mmu_clear_pgt_range gaudi_mmu_init gaudi_mmu_invalidate_cache gaudi_mmu_invalidate_cache_range
    gaudi_mmu_prepare gaudi_mmu_prepare_reg gaudi_mmu_update_asid_hop0_addr gaudi_monitor_valid gaudi_parse_cb_mmu
    gaudi_parse_cb_no_ext_queue gaudi_parse_cb_no_mmu gaudi_patch_cb gaudi_patch_dma_packet gaudi_pci_bars_map
    gaudi_pci_dma_stall gaudi_pci_irq_vector gaudi_pin_memory_before_cs gaudi_pqe_write gaudi_pre_hw_init
    gaudi_pre_schedule_cs gaudi_print_and_get_mmu_error_info gaudi_print_and_get_razwi_info
    gaudi_print_clk_change_info gaudi_print_fences_single_engine gaudi_print_fw_alive_info gaudi_print_irq_info
    gaudi_print_nic_axi_irq_info gaudi_print_out_of_sync_info gaudi_print_single_monitor gaudi_print_sm_sei_info
    gaudi_queue_idx_dec gaudi_read_pte gaudi_reset_sob gaudi_reset_sob_group gaudi_restore_dma_registers
    gaudi_restore_phase_topology gaudi_restore_qm_registers gaudi_restore_sm_registers gaudi_restore_user_registers
    gaudi_resume gaudi_ring_doorbell gaudi_run_tpc_kernel gaudi_scrub_device_dram gaudi_scrub_device_mem
    gaudi_send_cpu_message gaudi_send_device_activity gaudi_send_heartbeat gaudi_send_job_on_qman0
    gaudi_set_asic_funcs gaudi_set_binning_masks gaudi_set_dram_properties gaudi_set_fixed_properties
    gaudi_set_hbm_bar_base gaudi_set_pci_memory_regions gaudi_sob_group_hw_reset gaudi_sob_group_reset_error
    gaudi_state_dump_init gaudi_stop_hbm_dma_qmans gaudi_stop_mme_qmans gaudi_stop_nic_qmans gaudi_stop_pci_dma_qmans
    gaudi_stop_tpc_qmans gaudi_suspend gaudi_sw_fini gaudi_sw_init gaudi_sync_irqs gaudi_test_cpu_queue
    gaudi_test_queue gaudi_test_queues gaudi_tpc_read_interrupts gaudi_tpc_stall gaudi_update_eq_ci gaudi_validate_cb
    gaudi_validate_dma_pkt_host gaudi_validate_dma_pkt_no_mmu gaudi_validate_load_and_exe_pkt gaudi_write_pte
    get_collective_mode handle_qman_data_on_err infineon_ver_show set_default_power_values tpc_dec_event_to_tpc_id
    tpc_krn_event_to_tpc_id validate_packet_id
  `,
  'gaudi/gaudi_coresight.c': `
    gaudi_config_bmon gaudi_config_etf gaudi_config_etr gaudi_config_funnel gaudi_config_spmu gaudi_config_stm
    gaudi_coresight_timeout gaudi_debug_coresight gaudi_etr_validate_address gaudi_halt_coresight
  `,
  'gaudi/gaudi_security.c': `
    gaudi_ack_protection_bits_errors gaudi_init_dma_protection_bits gaudi_init_mme_protection_bits
    gaudi_init_nic_protection_bits gaudi_init_protection_bits gaudi_init_range_registers_hbw
    gaudi_init_range_registers_lbw gaudi_init_security gaudi_init_tpc_protection_bits gaudi_pb_set_block
  `,
  'gaudi2/': `
    set_number_of_functional_hbms get_hmmu_stlb_base gudi2_mmu_vdec_shared_prepare gudi2_mmu_arc_farm_arc_dup_eng_prepare
    is_info_event handle_lower_qman_data_on_err _gaudi2_handle_qm_sei_err get_hmmu_base hl_arc_event_handle
    event_id_to_engine_id
  `,
  'goya/': `
    validate_packet_id _goya_tpc_mbist_workaround _goya_get_event_desc mme_clk_show mme_clk_store tpc_clk_show tpc_clk_store
    ic_clk_show ic_clk_store mme_clk_curr_show tpc_clk_curr_show ic_clk_curr_show pm_mng_profile_show pm_mng_profile_store
    high_pll_show high_pll_store infineon_ver_show
  `,
};
