/**
 * A NIC and the driver's state of it: how it is found, what it tells about itself, its event queues, how it is let go.
 * Source: efa_main.c (efa_probe, efa_ib_device_add, efa_remove), efa_com_cmd.c.
 */

import {
  type CommandName,
  type CommandRow,
  commands,
  DEVICE_CAP,
  FEATURE,
  features,
  hostInfo,
  statistics,
} from '../../../../specs/efa/admin.ts';
import { AENQ_GROUP } from '../../../../specs/efa/io.ts';
import type { PciFunction } from '../../../pci/function.ts';
import type { Layout, LayoutFields, Values } from '../../../sim/layout.ts';
import { Condition, type Steps } from '../../../sim/process.ts';
import type { Importer } from '../dmabuf.ts';
import { errnoOf, negative, refuse } from '../errno.ts';
import type { Kernel } from '../kernel.ts';
import { AdminQueue, CONTROL_DATA, type EventRing, halves, RESET_REASON } from './admin-queue.ts';
import { BAR, NicPci } from './nic-pci.ts';

/** num_online_cpus. */
const PROCESSORS = 2;
/** efa.h: EFA_MGMNT_MSIX_VEC_IDX, EFA_COMP_EQS_VEC_BASE. */
const VECTOR = { ADMIN: 0, EVENTS: 1 } as const;
/** The first number of a vector; which they are depends on what else the machine has. */
const FIRST_IRQ = 24;
/** efa_main.c, EFA_AENQ_ENABLED_GROUPS. */
const GROUPS = Object.values(AENQ_GROUP).reduce((all, group) => all | (1 << group), 0);
const COMPLETION_EVENTS = 1;
const EQ_ENTRY_WORDS = 4;
/** efa_com_cmd.c, EFA_DEFAULT_LINK_SPEED_GBPS. */
const LINK_SPEED = 100;
/** What the driver says about its host: efa_common_defs.h (EFA_COMMON_SPEC_VERSION 2.0), the kernel, INTREE. */
const HOST = { SPEC: 2 << 8, INTREE: 1, KERNEL_VERSION: 0x07_03_04, RELEASE: '7.3.4', VERSION: '#1 SMP' } as const;

type Level = 'err' | 'warn' | 'info' | 'dbg';
type Request<R> = R extends CommandRow<infer Req, infer _> ? Partial<Values<Req>> : never;
type Answer<R> = R extends CommandRow<infer _, infer Resp> ? Values<Resp> : never;
type Row<N extends CommandName> = (typeof commands)[N];
type Decoded<L> = L extends Layout<infer F extends LayoutFields> ? Values<F> : never;

/** How a command differs from its fields. */
export interface CommandOptions {
  /** CONTROL_DATA. */
  readonly flags?: number;
  /** Writes into the payload what is no field, or no number. */
  readonly fill?: (payload: Uint8Array) => void;
  /** What it is for, in the message when it fails. */
  readonly target?: string;
}

export interface Attributes {
  readonly device: Decoded<typeof features.DEVICE_ATTR>;
  readonly queues: Decoded<typeof features.QUEUE_ATTR_1>;
  readonly events: Decoded<typeof features.EVENT_QUEUE_ATTR>;
  /** 16 bytes: its address. */
  readonly address: Uint8Array;
  readonly guid: Uint8Array;
  readonly mtu: number;
  readonly linkSpeed: number;
}

/** Counters that the driver keeps (efa_verbs.c, EFA_DEFINE_DEVICE_STATS). */
export type ErrorCounter = 'alloc_pd' | 'create_qp' | 'create_cq' | 'reg_mr' | 'alloc_ucontext' | 'create_ah' | 'mmap';

const LARGEST_PAYLOAD = 60;
const PORT_STATISTICS = statistics.map(({ name }, type) => ({ name, type }));

export class Nic implements Importer {
  /** PCI address, as the kernel's log has it. */
  readonly name: string;
  readonly kernel: Kernel;
  readonly pci: NicPci;
  /** While the driver has it. */
  #admin: AdminQueue | undefined;
  #attributes: Attributes | undefined;
  #events: EventRing[] = [];
  #removed = false;
  /** Name of its RDMA device, e.g. `efa_0`. */
  #device: string | undefined;
  /** Told that a completion queue has something new, by its number. */
  readonly completions = new Map<number, () => void>();
  readonly errors: Record<ErrorCounter, number> = {
    alloc_pd: 0,
    create_qp: 0,
    create_cq: 0,
    reg_mr: 0,
    alloc_ucontext: 0,
    create_ah: 0,
    mmap: 0,
  };
  /** Programs have its node open, or files that came of it. */
  users = 0;
  readonly released = new Condition();

  constructor(name: string, kernel: Kernel, fn: PciFunction, number: number) {
    this.name = name;
    this.kernel = kernel;
    this.pci = new NicPci(fn, number);
  }

  get function(): PciFunction {
    return this.pci.function;
  }

  /** Name of its RDMA device, if it is registered. */
  get device(): string | undefined {
    return this.#device;
  }

  /** The driver had it, and has let it go. */
  get removed(): boolean {
    return this.#removed;
  }

  get attributes(): Attributes {
    return this.#attributes as Attributes;
  }

  get admin(): AdminQueue {
    return this.#admin as AdminQueue;
  }

  /** Event queues, of which each has a vector (num_comp_vectors). */
  get events(): readonly EventRing[] {
    return this.#events;
  }

  /** What DEVICE_CAP says of it. */
  can(capability: keyof typeof DEVICE_CAP): boolean {
    return (this.attributes.device.device_caps & DEVICE_CAP[capability]) !== 0;
  }

  /** dev_err and the like. */
  log(level: Level, text: string): void {
    this.kernel.log(level, `efa ${this.name}`, text);
  }

  /** ibdev_err and the like: with the name of the RDMA device, once there is one. */
  say(level: Level, text: string): void {
    if (this.#device) this.kernel.log(level, `efa ${this.name} ${this.#device}`, text);
    else this.log(level, text);
  }

  /** The interrupt of an MSI-X vector. */
  interrupt(vector: number): void {
    this.kernel.observer?.(`${this.pci.function.name}: interrupt ${vector}`);
    if (!this.#admin) return;
    if (vector === VECTOR.ADMIN) this.#admin.interrupt();
    const ring = this.#events.find((candidate) => candidate.vector === vector);
    if (ring) this.#admin.takeEvents(ring, (number) => this.#completed(number));
  }

  #completed(number: number): void {
    const tell = this.completions.get(number);
    if (tell) tell();
    else this.say('err', `Completion event on non-existent CQ[${number}]`);
  }

  /** efa_probe. @param device name that its RDMA device gets @throws SystemError what the probe failed with */
  *probe(device: string): Steps {
    this.#removed = false;
    for (const name of Object.keys(this.errors) as ErrorCounter[]) this.errors[name] = 0;
    this.pci.enumerate();
    this.pci.enable();
    const admin = new AdminQueue(this.kernel, this.pci, (level, text) => this.say(level, text));
    this.#admin = admin;
    const vectors = Math.min(this.pci.vectors, PROCESSORS + 1);
    try {
      yield* this.#initialise(admin);
      this.pci.enableMsix(vectors);
      yield* admin.start();
    } catch (error) {
      this.#letGo();
      throw error;
    }
    this.log('info', `Setup irq:${FIRST_IRQ} name:efa-mgmnt@pci:${this.name}`);
    admin.setPolling(false);
    try {
      yield* this.#add(device, vectors);
    } catch (error) {
      yield* this.#reset(RESET_REASON.INIT_ERROR);
      this.#letGo();
      throw error;
    }
  }

  *#initialise(admin: AdminQueue): Steps {
    try {
      yield* admin.reset(RESET_REASON.NORMAL);
      yield* admin.validate();
    } catch (error) {
      this.log('err', 'EFA device init failed');
      throw error;
    }
  }

  /** efa_ib_device_add. */
  *#add(device: string, vectors: number): Steps {
    const attributes = yield* this.#getAttributes();
    this.#attributes = attributes;
    const { db_bar } = attributes.device;
    if (!this.pci.bar(db_bar)) {
      this.log('err', `Doorbells BAR unavailable. Requested 0x${(1 << db_bar).toString(16)}`);
      refuse('ENODEV');
    }
    // what it hints at: the driver's own times are good
    yield* this.#getFeature('HW_HINTS');
    yield* this.#configureNotifications();
    yield* this.#createEvents(Math.min(attributes.events.max_eq, vectors - VECTOR.EVENTS));
    try {
      yield* this.#setHostInfo();
      this.#device = device;
      // the core reads the counters of the port once, when it makes their files
      yield* this.portStatistics();
    } catch (error) {
      this.#device = undefined;
      yield* this.#destroyEvents();
      throw error;
    }
    this.say('info', 'IB device registered');
  }

  /** efa_com_get_device_attr. */
  *#getAttributes(): Steps<Attributes> {
    const first = yield* this.#getFeature('DEVICE_ATTR');
    const device = features.DEVICE_ATTR.decode(first);
    if (device.admin_api_version < 1) {
      this.say('err', `Failed to get device attr api version [${device.admin_api_version} < 1]`);
      refuse('EINVAL');
    }
    const supports = (id: number) => Math.floor(device.supported_features / 2 ** id) % 2 === 1;
    const queues = features.QUEUE_ATTR_1.decode(yield* this.#getFeature('QUEUE_ATTR_1'));
    const network = yield* this.#getFeature('NETWORK_ATTR');
    const events = supports(FEATURE.EVENT_QUEUE_ATTR)
      ? features.EVENT_QUEUE_ATTR.decode(yield* this.#getFeature('EVENT_QUEUE_ATTR'))
      : { max_eq: 0, max_eq_depth: 0, event_bitmask: 0 };
    return {
      device,
      queues,
      events,
      address: network.slice(0, 16),
      guid: first.slice(40, 48),
      mtu: features.NETWORK_ATTR.decode(network).mtu,
      linkSpeed: device.max_link_speed_gbps || LINK_SPEED,
    };
  }

  *#getFeature(name: keyof typeof FEATURE): Steps<Uint8Array> {
    return yield* this.raw('GET_FEATURE', { feature_id: FEATURE[name] });
  }

  /** efa_com_set_aenq_config. */
  *#configureNotifications(): Steps {
    const { supported_groups } = features.AENQ_CONFIG.decode(yield* this.#getFeature('AENQ_CONFIG'));
    if ((supported_groups & GROUPS) !== GROUPS) {
      const [groups, supported] = [GROUPS.toString(16), supported_groups.toString(16)];
      this.say('err', `Trying to set unsupported aenq groups[0x${groups}] supported[0x${supported}]`);
      refuse('EOPNOTSUPP');
    }
    yield* this.command('SET_FEATURE', { feature_id: FEATURE.AENQ_CONFIG, aenq_enabled_groups: GROUPS });
  }

  /** efa_create_eqs. */
  *#createEvents(count: number): Steps {
    const depth = this.attributes.events.max_eq_depth;
    try {
      for (let i = 0; i < count; i++) {
        const vector = VECTOR.EVENTS + i;
        const memory = this.admin.allocateEvents(depth);
        const { lo, hi } = halves(memory.bus);
        const { eqn } = yield* this.command('CREATE_EQ', {
          depth,
          msix_vec: vector,
          entry_size_words: EQ_ENTRY_WORDS,
          completion_events: COMPLETION_EVENTS,
          ba_lo: lo,
          ba_hi: hi,
        });
        const ring: EventRing = { number: eqn, vector, memory, depth, consumed: 0 };
        this.#events.push(ring);
        this.admin.armEvents(ring);
      }
    } catch (error) {
      yield* this.#destroyEvents();
      throw error;
    }
  }

  *#destroyEvents(): Steps {
    for (const { number, memory } of this.#events) {
      yield* this.attempt('DESTROY_EQ', { eqn: number });
      memory.free();
    }
    this.#events = [];
  }

  /** efa_set_host_info; that it fails is no matter. */
  *#setHostInfo(): Steps {
    const buffer = this.kernel.memory.allocateCoherent(hostInfo.size);
    const text = new TextEncoder();
    buffer.bytes.set(text.encode(HOST.RELEASE), 0);
    buffer.bytes.set(text.encode(HOST.VERSION), 132);
    const bus = Number.parseInt(this.name.slice(5, 7), 16);
    hostInfo.encode(buffer.bytes, {
      os_type: 0,
      kernel_ver: HOST.KERNEL_VERSION,
      bdf: bus << 8,
      spec_ver: HOST.SPEC,
      flags: HOST.INTREE,
    });
    const { lo, hi } = halves(buffer.bus);
    const place = { buffer_length: hostInfo.size, buffer_lo: lo, buffer_hi: hi };
    yield* this.attempt('SET_FEATURE', { feature_id: FEATURE.HOST_INFO, ...place }, { flags: CONTROL_DATA.DIRECT });
    buffer.free();
  }

  /** efa_fill_port_stats. @returns counters by name */
  *portStatistics(): Steps<Readonly<Record<string, bigint>>> {
    const values: Record<string, bigint> = {};
    for (const { name, type } of PORT_STATISTICS) {
      if (name === 'rdma write' && !this.can('RDMA_WRITE')) continue;
      const data = yield* this.raw('GET_STATS', { type });
      const view = new DataView(data.buffer, data.byteOffset);
      (statistics[type]?.counters ?? []).forEach((counter, i) => {
        values[counter] = view.getBigUint64(8 * i, true);
      });
    }
    return values;
  }

  /** efa_remove: waits until nobody has it open, as the driver cannot take it away from its users (ib_uverbs_remove_one). */
  *remove(): Steps {
    this.say('info', 'Unregister ib device');
    while (this.users > 0) yield this.released;
    yield* this.#destroyEvents();
    yield* this.#reset(RESET_REASON.NORMAL);
    this.#letGo();
    this.#removed = true;
  }

  *#reset(reason: number): Steps {
    try {
      yield* this.admin.reset(reason);
    } catch (error) {
      // efa_remove_device goes on all the same
      errnoOf(error);
    }
  }

  #letGo(): void {
    this.pci.disableMsix();
    this.#admin?.stop();
    this.#admin = undefined;
    this.#attributes = undefined;
    this.#device = undefined;
    this.pci.disable();
  }

  /** A command of the admin queue. @throws SystemError */
  *command<N extends CommandName>(
    name: N,
    values: Request<Row<N>>,
    options: CommandOptions = {},
  ): Steps<Answer<Row<N>>> {
    const data = yield* this.raw(name, values, options);
    return commands[name].response.decode(data) as Answer<Row<N>>;
  }

  /** A command whose failure is no matter to who gives it. @returns whether it was done */
  *attempt<N extends CommandName>(name: N, values: Request<Row<N>>, options: CommandOptions = {}): Steps<boolean> {
    try {
      yield* this.raw(name, values, options);
      return true;
    } catch (error) {
      errnoOf(error);
      return false;
    }
  }

  /** A command. @returns what follows the head of the answer @throws SystemError */
  *raw<N extends CommandName>(name: N, values: Request<Row<N>>, options: CommandOptions = {}): Steps<Uint8Array> {
    const row = commands[name];
    const payload = new Uint8Array(LARGEST_PAYLOAD);
    (row.request.encode as (target: Uint8Array, v: object) => void)(payload, values);
    options.fill?.(payload);
    try {
      return yield* this.admin.execute(name, row.opcode, payload, options.flags);
    } catch (error) {
      this.say('err', failureOf(name, values, negative(errnoOf(error)), options.target));
      throw error;
    }
  }

  /** pci_resource_start. */
  barStart(index: number): number {
    return this.pci.function.barAddress(index) as number;
  }

  /** BAR of the low-latency queues. */
  get memoryBar(): number {
    return BAR.MEMORY;
  }
}

/** What the driver prints of a command that failed (efa_com_cmd.c). */
function failureOf(name: CommandName, values: Readonly<Record<string, number>>, errno: number, target = ''): string {
  switch (name) {
    case 'CREATE_QP':
      return `Failed to create qp [${errno}]`;
    case 'MODIFY_QP':
      return `Failed to modify qp-${values.qp_handle} modify_mask[0x${maskOf(values).toString(16)}] [${errno}]`;
    case 'QUERY_QP':
      return `Failed to query qp-${values.qp_handle} [${errno}]`;
    case 'DESTROY_QP':
      return `Failed to destroy qp-${values.qp_handle} [${errno}]`;
    case 'CREATE_AH':
      return `Failed to create ah for ${target} [${errno}]`;
    case 'DESTROY_AH':
      return `Failed to destroy ah-${values.ah} pd-${values.pd} [${errno}]`;
    case 'REG_MR':
      return `Failed to register mr [${errno}]`;
    case 'DEREG_MR':
      return `Failed to de-register mr(lkey-${values.l_key}) [${errno}]`;
    case 'CREATE_CQ':
      return `Failed to create cq[${errno}]`;
    case 'DESTROY_CQ':
      return `Failed to destroy CQ-${values.cq_idx} [${errno}]`;
    case 'GET_FEATURE':
      return `Failed to submit get_feature command ${values.feature_id} [${errno}]`;
    case 'SET_FEATURE':
      return `Failed to submit set_feature command ${values.feature_id} error: ${errno}`;
    case 'GET_STATS':
      return `Failed to get stats type-${values.type} scope-0.0 [${errno}]`;
    case 'ALLOC_PD':
      return `Failed to allocate pd[${errno}]`;
    case 'DEALLOC_PD':
      return `Failed to deallocate pd-${values.pd} [${errno}]`;
    case 'ALLOC_UAR':
      return `Failed to allocate uar[${errno}]`;
    case 'DEALLOC_UAR':
      return `Failed to deallocate uar-${values.uar} [${errno}]`;
    case 'CREATE_EQ':
      return `Failed to create eq[${errno}]`;
    case 'DESTROY_EQ':
      return `Failed to destroy EQ-${values.eqn} [${errno}]`;
  }
}

function maskOf(values: Readonly<Record<string, number>>): number {
  const names = ['mask_qp_state', 'mask_cur_qp_state', 'mask_qkey', 'mask_sq_psn', 'mask_sq_drained_async_notify'];
  return [...names, 'mask_rnr_retry'].reduce((mask, name, bit) => mask | ((values[name] ?? 0) << bit), 0);
}
