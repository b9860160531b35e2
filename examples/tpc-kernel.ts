// Has the tensor cores run a kernel of one's own: y = a * x + 1, on four of them. Run it as examples/hello-device.ts says.

import assert from 'node:assert/strict';
import { connect, Device, floatWord, Kernel, Tensor } from 'sagrada';

// Each member of the index space is a vector of 64 numbers. A core gets the first of its members in I0, and how many there
// are in I1; S0 is the first scalar. What a slot computes can be read when its latency has passed: hence the NOPs, of which
// `sagrada asm --isa tpc-gaudi` says where they are missing.
const text = `
        nop; mov_irf_dim 0 S1, I1               // how many members
        nop; mov.i32 b11111 I2, I0
        nop; nop; mov.f32 V2, 1.0
        nop
        nop
        nop; mul.i32 b00001 I2, 64, I2          // the first element of them
        nop
        nop
        nop
        nop
        nop
        loop 0, S1, 1, <, end
        nop
        ld_tnsr V1, 0, I2
        nop
        nop
        nop
        nop; nop; mov.f32 V3, V2
        nop
        nop
        nop
        nop; nop; mac.f32 V3, V1, S0            // 1 + a * x
        nop
        nop
        nop
        nop
        nop; nop; nop; st_tnsr 1, I2, V3
        nop; add.i32 b00001 I2, 64, I2
        nop
        nop
        nop
        nop
end:
        nop
        halt
        nop
        nop
        nop
`;

using device = Device.open({ driver: connect() });
const kernel = await Kernel.assemble(text, 'scale');
const count = 1000;
using x = device.allocHost(4 * count);
using y = device.allocHost(4 * count);
for (let n = 0; n < count; n++) x.floats[n] = n;
const tensors = [x, y].map((memory) => new Tensor(memory, { type: 'f32', shape: [count] }));
await device.launch(kernel, { tensors, scalars: [floatWord(0.5)], indexSpace: [Math.ceil(count / 64)], cores: 4 });
for (let n = 0; n < count; n++) assert.equal(y.floats[n], n / 2 + 1);
console.log(`four cores have computed: ${y.floats.subarray(0, 5).join(', ')}, ...`);
