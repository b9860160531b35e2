/**
 * What no public source settles about the behaviour of the core, and how this model reads it. A reading is here because
 * something public speaks for it (said in `reason`); where nothing does, the model refuses with a category: that is here too.
 */

export interface UnverifiedReading {
  /** The instruction or part of the core. */
  readonly about: string;
  readonly reading: string;
  readonly reason: string;
}

export const unverifiedReadings = [
  {
    about: 'mac, mul: rounding',
    reading: 'float MAC rounds once, after the addition',
    reason:
      "the vendor's scalar division corrects its quotient by the residual of a MAC (Markstein), which is 0 unless it is fused",
  },
  {
    about: 'bf16: denormals',
    reading: 'a bf16 denormal counts as zero in arithmetic, like an f32 one; moves and logic keep its bits',
    reason: 'the language specification says both that denormals are zero and that bf16 has them',
  },
  {
    about: 'float results that are tiny',
    reading: 'flushed to the zero of their sign after rounding',
    reason: 'only that denormals are treated as zero is public',
  },
  {
    about: 'float max, min with NaN',
    reading: 'NaN if either operand is NaN; max of -0 and +0 is +0',
    reason: 'not public; the general rule for NaN results is applied',
  },
  {
    about: 'convert float to integer: NaN and out of range',
    reading: 'saturates; NaN gives 0',
    reason: 'only the rounding modes are public',
  },
  {
    about: 'lanes of D and A registers',
    reading:
      'element n of the narrow vector belongs to register n mod 2 of a pair (n mod 4 of a quad), element floor(n / 2)',
    reason: "the vendor's bf16 cast kernel unpacks to every second element and finds all in the first register",
  },
  {
    about: 'mul.i32, mul.u32 of vectors',
    reading: 'the 64-bit product of lane n lies in register n mod 2 of the pair, at its bytes 8 * floor(n / 2)',
    reason: 'by analogy with the 32-bit products of 16-bit lanes; not public',
  },
  {
    about: 'vector predicates',
    reading: 'a lane of n bytes looks at the bit of its first byte; comparisons write all n bits',
    reason: 'predicates have one bit for each byte; which counts for wider lanes is not public',
  },
  {
    about: 'pack, unpack, shuffle, convert to a narrower type',
    reading: 'bytes that are not results keep their value',
    reason: 'the intrinsics of exactly these require the value of the destination to be given',
  },
  {
    about: 'shuffle: control of an element of several bytes',
    reading: 'the control byte at the first byte of the element counts',
    reason: 'public kernels write the same control into all bytes of an element',
  },
  {
    about: 'convert: lanes of a narrowing conversion',
    reading: 'lane_sel says which of the narrow elements of each wide lane is written',
    reason: 'tpc-intrinsics.h: lane 0 is all even, lane 1 all odd elements; for 8 bits lanes 0 to 3',
  },
  {
    about: 'LFSR',
    reading:
      '32-bit Galois registers stepped once for each read of V40 or S40 and each stochastic rounding; lane n starts as n + 1',
    reason: 'only the polynomial register and its reset value are public',
  },
  {
    about: 'stochastic rounding',
    reading:
      "the magnitude is rounded up if its fraction plus the lane's random number reaches 1; 16-bit lanes use 16 bits",
    reason: 'only that the LFSR is used is public',
  },
  {
    about: 'get_lut_entry: sin_cos and tanh',
    reading: 'below 1 intervals of equal width; tanh has 2^m more for each power of two up to 8',
    reason: "the vendor's tanh uses 256 entries of 64 and handles 8 and above itself; its sine reduces to below 1",
  },
  {
    about: 'lookup: entries out of range',
    reading: 'the index has 8 bits; entries that the table has no room for are those at its begin',
    reason:
      "the vendor's own calculation of addresses takes 8 bits, and says nothing of the rest; " +
      "the vendor's tanh looks up entries beyond the table for arguments of 8 and above, and then does not use them",
  },
  {
    about: 'ld_tnsr_high, st_tnsr_high',
    reading: 'coordinates are those of the first element of the upper half',
    reason: 'not public',
  },
  {
    about: 'ld_l_v_high, st_l_v_high',
    reading: 'the address is that of the 128 bytes that are moved',
    reason: 'not public',
  },
  {
    about: 'gen_addr, ld_g, st_g',
    reading:
      'an address register has the type of its tensor, so that ld_g and st_g move one element; no bounds are checked',
    reason: 'address registers have 92 bits, and ld_g has no data type',
  },
  {
    about: 'results in scalar registers that are narrower than 32 bits',
    reading: 'extended to 32 bits: with the sign for signed integers, else with zeros',
    reason: 'not public',
  },
  {
    about: 'shr, shl: amounts',
    reading: 'the low 8 bits of the lane count; nothing is left of a value shifted by its width or more',
    reason: 'amounts are bytes in the scalar intrinsics; what large ones do is not public',
  },
  {
    about: 'loop: a jump out of the body',
    reading: 'ends the loop',
    reason: 'compilers make such jumps for `break`; how the chip notices is not public',
  },
  {
    about: 'loop: repeat_at_most_once',
    reading: 'the body is done once at most',
    reason: 'the name of the bit',
  },
  {
    about: 'registers at the start of a program',
    reading: '0, but I0, I1, the scalar parameters, SP0, VP0 and the random numbers',
    reason: 'what was there before is not defined; local memories keep their content',
  },
  {
    about: 'partial',
    reading:
      'size - 1 in bits 0 to 7 and offset in bits 8 to 15 of S30 (loads), S31 (stores); offset counts lanes of the vector',
    reason: 'that the two share a register is public, not where',
  },
  {
    about: 'tensor descriptors: valid_dim_mask of 0',
    reading: 'dimensions 0 to last_dim count',
    reason: 'the reset value is 0',
  },
  {
    about: 'st_tnsr with pack',
    reading: 'every second 16-bit element of the vector is stored',
    reason: 'Gaudi has one kind of packing; the next chip calls its first 32 to 16',
  },
  {
    about: 'udiv_4step',
    reading: 'step counts from 0 at the highest bit; intermediate values are those of restoring division',
    reason: 'only the operands at the beginning and at the end are public',
  },
  {
    about: 'calc_fp_special',
    reading:
      'the limit of the function at zero, infinity, NaN and outside its domain; other arguments leave the destination',
    reason: 'the table is not public; results must be those of the function',
  },
  {
    about: 'jmpr, jmpa: the bundle after a taken jump',
    reading: 'not done; refused if it has work for a slot other than the VPU',
    reason: "the vendor's compiler fills it with NOPs in all slots but VPU, whose work belongs to the way not taken",
  },
  {
    about: 'latencies between slots',
    reading:
      'a result reaches other slots with the next bundle, and its own slot after the latency of its row; predicates after two; ' +
      'what LOAD and STORE move within the core at once; what is loaded from memory is waited for by all',
    reason:
      'documented latencies are those within a slot, and loads are said to stall; memory itself answers at once here',
  },
  {
    about: 'accumulators',
    reading:
      'a float MAC or MUL reaches the accumulator of a MAC of the same slot and kind of accumulator after 4 bundles, all else ' +
      'after 6; other results reach accumulators as they reach operands',
    reason:
      "these are the distances of the vendor's compiler; what the chip reads at shorter ones is taken to be the value before",
  },
  {
    about: 'two results for one register that arrive out of order',
    reading: 'the later instruction wins',
    reason: 'not public',
  },
  {
    about: 'add, sub with carry',
    reading: 'refused as undefined',
    reason:
      'S_CARRY and V_CARRY exist, and the switch; which instructions write them is not public, and no intrinsic has the switch',
  },
  {
    about: 'quads of vectors',
    reading: 'refused as undefined',
    reason: 'the type exists for all cores, but no intrinsic of this one has it',
  },
  {
    about: 'get_lut_entry: log',
    reading:
      'the entry is the shifted fraction, with 1 in its lowest two bits for numbers in [1, 2), 2 for [0.75, 1), else 0; the ' +
      'interval begins at the number itself',
    reason:
      "a kernel of the vendor (log_bf16) takes these two bits apart after it has cleared them in its argument, and the table's rows fit that",
  },
  {
    about: 'lookup with upper_half',
    reading: 'refused as undefined',
    reason: "only the switch and its bit are public; no function of the vendor's library sets it",
  },
  {
    about: 'convert_int8, convert_uint8',
    reading: 'refused as undefined',
    reason:
      'they take a pair of vectors; neither the type of its elements nor their order is public, and no intrinsic of this chip has them',
  },
  {
    about: 'jmpa with a label',
    reading: 'refused as undefined',
    reason:
      'TPCAsmBackend.cpp (applyFixup) makes a distance of every label, whatever jump has it; the instruction takes an address, and no ' +
      'compiler makes it',
  },
  {
    about: 'st_tnsr with pack: elements that are not of 16 bits',
    reading: 'refused as undefined',
    reason: "the only kind of packing that this chip's switch has is not described",
  },
  {
    about: 'mov from registers of the hardware',
    reading: 'refused as undefined',
    reason: 'what they hold is not public',
  },
] as const satisfies readonly UnverifiedReading[];
