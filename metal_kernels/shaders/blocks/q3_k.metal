// Q3_K: 32 bytes of third bits, two halves of 32 bytes with four 2-bit values each, 12 bytes of
// 6-bit scales per 16 values, d. Values are 4 too high, scales 32.
struct Q3_K {
  enum : uint {
    values = 256, bytes = 110, slices = 8, runs = 4, run_length = 8,
    has_offset = 1, bias = 1,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) {
    return slice / 4 * 128 + run * 32 + slice % 4 * 8;
  }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    const uint side = slice / 4, at = slice % 4 * 8;
    UNROLL for (int i = 0; i < 2; ++i) {
      const uint third = load_word(block + at + 4 * i) >> (4 * side);
      const uint quants = load_word(block + 32 + side * 32 + at + 4 * i);
      UNROLL for (int run = 0; run < 4; ++run) {
        const uint low = quants >> (2 * run) & 0x03030303u, high = third >> run & 0x01010101u;
        unpack_bytes<3>(low | high << 2, codes + 8 * run + 4 * i);
      }
    }
    const float d = 8.0f * load_half(block + 108);
    UNROLL for (int run = 0; run < 4; ++run) {
      const uint group = side * 8 + run * 2 + at / 16;
      const uint low = uint(block[96 + group % 8]) >> (4 * side) & 15;
      const uint high = uint(block[104 + group % 4]) >> (2 * (group / 4)) & 3;
      scales[run] = d * (float(low | high << 4) - 32.0f);
      offsets[run] = -0.5f * scales[run];
    }
  }
};
