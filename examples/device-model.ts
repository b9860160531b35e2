// A PCI device of one's own, served to QEMU: it adds up bytes of the host's memory, and raises an interrupt when it has. Whoever
// writes a driver for a card that does not exist yet begins like this.
//
//   node examples/device-model.ts /tmp/adder.sock
//   qemu-system-x86_64 -machine q35,memory-backend=ram -object memory-backend-memfd,id=ram,size=1G,share=on -m 1G ... \
//     -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/adder.sock"}}'

import {
  active,
  Endpoint,
  ErrorLog,
  type FunctionPorts,
  ModelError,
  Reactor,
  RegisterBlock,
  registerBlock,
  registerRegion,
  serve,
  storage,
  WallClock,
} from 'sagrada/device';

// The registers, as a manual has them. Those of kind `active` do something, and need a body below.
const registers = registerBlock(
  'ADDER',
  { size: 0x1000, source: 'this file' },
  {
    ID: storage(0x00, 'what it is', { access: 'ro', reset: 0xadde_0001 }),
    ADDRESS_LO: storage(0x08, 'bus address of the bytes, 31:0'),
    ADDRESS_HI: storage(0x0c, 'bus address of the bytes, 63:32'),
    LENGTH: storage(0x10, 'how many, at most 65536'),
    CONTROL: active(0x14, 'bit 0: begin', { access: 'wo' }),
    STATUS: active(0x18, 'bit 0: at work, bit 1: done, bit 2: nobody has answered at the address', { access: 'ro' }),
    SUM: storage(0x1c, 'of the bytes, 32 bits', { access: 'ro' }),
  },
);
const STATUS = { BUSY: 1, DONE: 2, FAULT: 4 } as const;
const MOST = 65536;

function adder(name: string): Endpoint {
  let ports: FunctionPorts | undefined;
  let status = 0;
  /** Work that a reset has ended must not tell of its end. */
  let life = 0;
  // What the guest does wrong is an error with a category, never a made-up value.
  const errors = new ErrorLog((error) => console.error(`${name}: ${error.message}`));

  const block = new RegisterBlock(registers, name, {
    CONTROL: {
      read: () => 0,
      write(value) {
        if ((value & 1) === 0 || !ports) return;
        if (status & STATUS.BUSY) throw new ModelError('guest', 'ADDER.CONTROL', 'begun while it is at work');
        const length = block.get('LENGTH');
        if (length > MOST) throw new ModelError('guest', 'ADDER.LENGTH', `${length} bytes are too many`);
        status = STATUS.BUSY;
        const address = block.get('ADDRESS_HI') * 2 ** 32 + block.get('ADDRESS_LO');
        const bytes = new Uint8Array(length);
        const mine = life;
        // Nothing is done within the guest's access: QEMU waits for its end. The device takes a nanosecond for a byte.
        ports.clock.at(ports.clock.now() + length, () => {
          if (mine !== life) return;
          ports?.dma.read(address, bytes, (error) => {
            if (mine !== life) return;
            status = error ? STATUS.FAULT : STATUS.DONE;
            block.set('SUM', error ? 0 : bytes.reduce((sum, byte) => sum + byte, 0));
            device.raise(0);
          });
        });
      },
    },
    STATUS: { read: () => status, write() {} },
  });

  const device = new Endpoint({
    name,
    ids: { vendor: 0x1234, device: 0xadd0, revision: 1, classCode: 0x12_0000 }, // a processing accelerator
    pcie: { at: 0x80, linkSpeed: 3, linkWidth: 1, flr: true },
    msi: { at: 0x40, vectors: 1 },
    bars: [{ index: 0, kind: 'memory32', prefetchable: false, region: registerRegion(name, 0x1000, block, errors) }],
    connected: (given) => {
      ports = given;
    },
    reset() {
      life++;
      status = 0;
      block.reset();
    },
  });
  return device;
}

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: device-model.ts SOCKET');
const clock = new WallClock();
const reactor = new Reactor(clock);
reactor.add(serve({ function: adder('adder'), path, clock, log: console.error }));
console.log(`serving the adder at ${path}`);
reactor.run();
