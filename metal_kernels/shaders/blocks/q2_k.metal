// Q2_K: a byte per 16 values (scale and minimum, a nibble each), two halves of 32 bytes with four
// 2-bit values each, 32 apart, then d and dmin.
struct Q2_K {
  enum : uint {
    values = 256, bytes = 84, slices = 8, runs = 4, run_length = 8,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) {
    return slice / 4 * 128 + run * 32 + slice % 4 * 8;
  }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    const device uint* words = (const device uint*)block;
    const half2 d = as_type<half2>(words[20]);
    UNROLL for (int i = 0; i < 2; ++i) {
      const uint quants = words[4 + slice * 2 + i];
      UNROLL for (int run = 0; run < 4; ++run)
        unpack_bytes<2>(quants >> (2 * run) & 0x03030303u, codes + 8 * run + 4 * i);
    }
    UNROLL for (int run = 0; run < 4; ++run) {
      const uint pair = block[slice / 4 * 8 + run * 2 + slice % 4 / 2];
      scales[run] = 4.0f * float(d.x) * float(pair & 15);
      offsets[run] = -float(d.y) * float(pair >> 4);
    }
  }
};
