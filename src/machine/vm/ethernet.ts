/**
 * The ordinary network between guests: an Ethernet switch of which each guest's QEMU is a port, over a UNIX socket. Nothing
 * else is connected to it. QEMU sends each frame behind its length, 32 bits big-endian (net/stream.c).
 */

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/** Longest frame that a guest may send: virtio-net's largest, with its segmentation offload (NET_BUFSIZE of QEMU). */
const MAX_FRAME = 4096 + 65536;
const HEADER = 14;
/** Bytes waiting for a guest that does not read, after which frames for it are dropped, as a switch does. */
const BACKLOG = 2 ** 22;

export class EthernetSwitch {
  readonly #server: Server;
  readonly #ports = new Set<Socket>();
  /** Where an address was seen last. */
  readonly #known = new Map<string, Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => this.#connect(socket));
  }

  /** @param path of the socket that is made */
  static async listen(path: string): Promise<EthernetSwitch> {
    const server = createServer();
    server.listen(path);
    await once(server, 'listening');
    return new EthernetSwitch(server);
  }

  close(): void {
    this.#server.close();
    for (const port of this.#ports) port.destroy();
  }

  #connect(port: Socket): void {
    this.#ports.add(port);
    let rest: Buffer = Buffer.alloc(0);
    port.on('data', (data: Buffer) => {
      rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
      while (rest.length >= 4) {
        const length = rest.readUInt32BE();
        if (length < HEADER || length > MAX_FRAME) {
          port.destroy();
          return;
        }
        if (rest.length < 4 + length) return;
        this.#forward(port, rest.subarray(0, 4 + length));
        rest = rest.subarray(4 + length);
      }
    });
    // A guest that was ended: its port closes, too.
    port.on('error', () => {});
    port.on('close', () => {
      this.#ports.delete(port);
      for (const [address, at] of this.#known) if (at === port) this.#known.delete(address);
    });
  }

  /** @param message a frame behind its length */
  #forward(from: Socket, message: Buffer): void {
    const group = ((message[4] as number) & 1) === 1;
    const target = message.toString('latin1', 4, 10);
    this.#known.set(message.toString('latin1', 10, 16), from);
    const known = group ? undefined : this.#known.get(target);
    for (const port of known ? [known] : this.#ports) {
      if (port !== from && port.writableLength < BACKLOG) port.write(message);
    }
  }
}
