/**
 * The kernel that tells what of the drivers runs, and watches them: a small one, of Debian's source. Names are those of the
 * kernel's Kconfig files; what is not named is off.
 */

/** Release of the kernel: that of the source, and this. */
export const COVERAGE_SUFFIX = '-sagrada-coverage';

/** The kernel's count of time (include/linux/jiffies.h): its value when the kernel starts, and its rate, which is CONFIG_HZ. */
export const JIFFIES = { first: 2 ** 32 - 300 * 250, perSecond: 250 };

/** So many times slower than on a stock kernel is what a test does; limits of time are longer by as much. */
export const WATCHED_SLOWDOWN = 4;

const on = (names: string) =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => `CONFIG_${name}=y`);
const module = (names: string) => names.split(' ').map((name) => `CONFIG_${name}=m`);

export const coverageConfig: readonly string[] = [
  `CONFIG_LOCALVERSION="${COVERAGE_SUFFIX}"`,
  // the machine: QEMU's q35, which starts it by its PVH entry
  ...on(
    'HZ_250 64BIT SMP HYPERVISOR_GUEST PARAVIRT KVM_GUEST PVH X86_X2APIC MTRR X86_PAT ACPI HPET_TIMER HIGH_RES_TIMERS',
  ),
  // the card has registers in the extended configuration space; what the firmware lets the kernel have of PCIe (errors, slots) takes
  // all that OSC_PCI_SUPPORT_MASKS of drivers/acpi/pci_root.c names
  ...on('PCI PCI_MSI PCI_MMCONFIG PCIEPORTBUS PCIEAER PCIEASPM HOTPLUG_PCI HOTPLUG_PCI_PCIE HOTPLUG_PCI_ACPI'),
  ...on('VIRTIO_MENU VIRTIO_PCI VIRTIO_CONSOLE'),
  ...on('NO_HZ_IDLE PREEMPT_LAZY BLOCK BLK_DEV_INITRD TTY UNIX98_PTYS SERIAL_8250 SERIAL_8250_CONSOLE'),
  'CONFIG_NR_CPUS=64',
  // memory of devices as pages, for peer to peer
  ...on('SPARSEMEM_VMEMMAP MEMORY_HOTPLUG MEMORY_HOTREMOVE ZONE_DEVICE PCI_P2PDMA HUGETLBFS TRANSPARENT_HUGEPAGE'),
  // programs of the host, from its files
  ...on('BINFMT_ELF BINFMT_SCRIPT MULTIUSER SYSFS SYSCTL PROC_FS PROC_PAGE_MONITOR TMPFS TMPFS_XATTR SHMEM DEVTMPFS'),
  ...on('OVERLAY_FS FILE_LOCKING INOTIFY_USER FUTEX EPOLL SIGNALFD TIMERFD EVENTFD ADVISE_SYSCALLS MEMBARRIER RSEQ'),
  ...on('POSIX_TIMERS CROSS_MEMORY_ATTACH SYSVIPC NET UNIX INET NETDEVICES NET_CORE VIRTIO_NET NET_9P NET_9P_VIRTIO'),
  ...on('NETWORK_FILESYSTEMS 9P_FS PRINTK PRINTK_TIME BUG EXPERT MODULES MODULE_UNLOAD KALLSYMS KPROBES'),
  'CONFIG_LOG_BUF_SHIFT=18',
  // the drivers
  ...on('DRM DRM_ACCEL FW_LOADER HWMON INFINIBAND_ON_DEMAND_PAGING'),
  ...module('DRM_ACCEL_HABANALABS INFINIBAND INFINIBAND_USER_ACCESS INFINIBAND_EFA'),
  // what counts, for those folders alone that `instrumented` names
  ...on('DEBUG_KERNEL DEBUG_FS GCOV_KERNEL KCOV'),
  '# CONFIG_GCOV_PROFILE_ALL is not set',
  '# CONFIG_KCOV_INSTRUMENT_ALL is not set',
  // what watches
  // not KASAN_VMALLOC: it would take an eighth of each BAR's size of memory (mm/kasan/shadow.c, kasan_populate_vmalloc)
  ...on('KASAN KASAN_GENERIC KASAN_OUTLINE PROVE_LOCKING DEBUG_ATOMIC_SLEEP DEBUG_LIST DMA_API_DEBUG'),
  ...on('DMABUF_DEBUG DEBUG_KMEMLEAK DETECT_HUNG_TASK UBSAN UBSAN_BOUNDS UBSAN_SHIFT'),
  '# CONFIG_DEBUG_KMEMLEAK_AUTO_SCAN is not set',
  // what fails when it is told to: memory that runs out, errors of PCIe links
  ...on('FAULT_INJECTION FAILSLAB FAIL_PAGE_ALLOC FAULT_INJECTION_DEBUG_FS FAULT_INJECTION_STACKTRACE_FILTER'),
  ...on('PCIEAER_INJECT'),
  // an emulated processor is slow enough
  ...on('UNWINDER_FRAME_POINTER DEBUG_INFO_NONE'),
  '# CONFIG_CPU_MITIGATIONS is not set',
];

const COUNTED = ['GCOV_PROFILE := y', 'KCOV_INSTRUMENT := y'];
const CHECKED = ['override KASAN_SANITIZE := y', 'override UBSAN_SANITIZE := y'];

/** Appended to the Makefiles of folders: whose code is counted, and which KASAN and UBSAN check. */
export const instrumented: Readonly<Record<string, readonly string[]>> = {
  'drivers/accel/habanalabs': [...COUNTED, ...CHECKED],
  'drivers/dma-buf': [...COUNTED, ...CHECKED],
  'drivers/infiniband/hw/efa': [...COUNTED, ...CHECKED],
  'drivers/infiniband/core': CHECKED,
  'drivers/gpu/drm': CHECKED,
};

/** Folders whose counts are of use. */
export const countedFolders = Object.entries(instrumented)
  .filter(([, lines]) => lines.includes('GCOV_PROFILE := y'))
  .map(([folder]) => folder);

/**
 * What is left out of the archive of the source: it is most of it, and this kernel has nothing of it. Files that Kconfig and make
 * read stay. @param name of the folder in the archive
 */
export function leftOutOfSource(name: string): readonly string[] {
  const drm = ['amd', 'i915', 'msm', 'nouveau', 'radeon', 'xe'].map((driver) => `drivers/gpu/drm/${driver}/*.[ch]`);
  return [
    // make reads what other architectures have in scripts/ (fs/hostfs does that of arch/um)
    'arch/[a-wyz]*/*.[chS]',
    'arch/[a-wyz]*/*.dts*',
    'Documentation/*/*',
    'tools/testing/*',
    'drivers/media/*.[ch]',
    'drivers/net/ethernet/*.[ch]',
    'drivers/net/wireless/*.[ch]',
    'drivers/staging/*.[ch]',
    'sound/*.[ch]',
    ...drm,
  ].map((pattern) => `${name}/${pattern}`);
}
