// IQ4_XS: d, eight 6-bit scales (two high bits in one word, nibbles in the next), then 16 bytes per
// sub-block of 32; byte j holds its values j and j + 16.
struct IQ4_XS {
  enum : uint {
    values = 256, bytes = 136, slices = 8, runs = 2, run_length = 16,
    has_offset = 0, bias = 0,
  };

  static METAL_FUNC uint run_start(uint slice, uint run) { return slice * 32 + run * 16; }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    const device uint2* pairs = (const device uint2*)block;
    const uint2 head = pairs[0];
    UNROLL for (int i = 0; i < 2; ++i) {
      const uint2 quants = pairs[1 + slice * 2 + i];
      UNROLL for (int k = 0; k < 2; ++k)
        look_up_nibbles(quants[k], codes + 8 * i + 4 * k, codes + 16 + 8 * i + 4 * k);
    }
    const uint scale = (head.y >> (4 * slice) & 15) | (head.x >> (16 + 2 * slice) & 3) << 4;
    scales[0] = scales[1] = float(as_type<half2>(head.x).x) * (float(scale) - 32.0f);
    offsets[0] = offsets[1] = 0.0f;
  }
};
