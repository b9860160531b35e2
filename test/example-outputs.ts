/** What each example says when all is well, on any machine. */
export const outputs: Readonly<Record<string, RegExp>> = {
  'hello-device.ts':
    /^(card [01]: \/dev\/accel\/accel[01], PCI address 0000:\S+, Operational\n {2}chip 0x1000\n {2}32256 MiB of HBM and 20479 KiB of SRAM for programs\n {2}8 tensor cores\n {2}clock of the card [1-9]\d*, of the host [1-9]\d*\n {2}idle\n){2}$/,
  'dma-round-trip.ts':
    /^the source is at 0x[0-9a-f]+ for us,\n +and at 0x100[0-9a-f]{10} for the card\n.* at 0x20000000\n.* 48 bytes of packets\n.* submission 1\n1048576 bytes went to the card and came back unchanged\n$/,
  'two-streams-fence.ts':
    /^DMA_1_0 waits at its fence\nDMA_0_0 has written, and added 1 to the sync object\nDMA_1_0 has passed its fence and read 4194304 bytes, all of them new\n$/,
  'signal-wait.ts':
    /^submission 1 copies, submission 2 signals\n(submission 3 waits for it|it had come before anybody could wait for it)\nsubmission [34] has fetched 65536 bytes, all of them 42\n$/,
  'peer-copy.ts':
    /^the first card shares 1048576 bytes as descriptor \d+, \/dmabuf:.*\nfor the second card they are at 0x[0-9a-f]+\nthe second card has written\nthe first card has found all 1048576 bytes in its own memory\n$/,
  'tpc-kernel.ts': /^four cores have computed: 1, 1\.5, 2, 2\.5, 3, \.\.\.\n$/,
  'catch-an-error.ts':
    /^refused with EINVAL: MEMORY HL_MEM_OP_MAP .*mem_size: 0.*\nhung: submission 1 has not ended after 100 ms\nstill at work: DMA_0\nafter the fence was opened the work has ended, and the queue takes more\n$/,
  'page-fault.ts':
    /^fault at 0x[0-9a-f]+, where the program has written: true\nmapped were 65536 bytes at 0x[0-9a-f]+, ours: true\nthe card has been reset\nand works: 7\n$/,
  'p2p-nic.ts':
    /^\/dev\/accel\/accel0 and efa_0 share 1048576 bytes\n\/dev\/accel\/accel1 and efa_1 share 1048576 bytes\none NIC has written what the other has received\nthe second card has found all 1048576 bytes in its own memory\n$/,
  'ring-all-reduce.ts':
    /^(4 cards have added up 65536 numbers each: 6, 6\.5, 7, \.\.\.|2 cards have added up 32768 numbers each: 1, 1\.25, 1\.5, \.\.\.)\n$/,
};

/** Those that need more than two cards below one switch. */
export const machines: Readonly<Record<string, string>> = {
  'p2p-nic.ts': 'gaudi-x2-efa-x2',
};

/** Those that have the driver complain, because that is what they show. */
export const complaining: readonly string[] = ['catch-an-error.ts', 'page-fault.ts'];

/** Not a program that ends: test/vfio-user/example-device.vm.test.ts has QEMU use it. Up to 100 lines. */
export const DEVICE = 'device-model.ts';
