// Q6_K: two halves of 128 values; ql (128 bytes, nibbles), qh (64, two bits each), a signed scale
// per 16 values, d. Eight bytes of two ql rows and of qh make four runs of eight values.
struct Q6_K {
  enum : uint { values = 256, bytes = 210, slices = 8, runs = 4, run_length = 8, has_offset = 1 };

  static METAL_FUNC uint run_start(uint slice, uint run) {
    return slice / 4 * 128 + run * 32 + slice % 4 * 8;
  }

  static METAL_FUNC void read(const device uchar* block, uint slice, thread float* codes,
                              thread float* scales, thread float* offsets) {
    const uint side = slice / 4, at = slice % 4 * 8;
    const device uchar* low = block + side * 64 + at;
    const device uchar* high = block + 128 + side * 32 + at;
    UNROLL for (int i = 0; i < 2; ++i) {
      const uint first = load_word(low + 4 * i), second = load_word(low + 32 + 4 * i);
      const uint top = load_word(high + 4 * i);
      const uchar4 q[4] = {
          as_type<uchar4>((first & 0x0F0F0F0Fu) | (top & 0x03030303u) << 4),
          as_type<uchar4>((second & 0x0F0F0F0Fu) | (top & 0x0C0C0C0Cu) << 2),
          as_type<uchar4>(((first >> 4) & 0x0F0F0F0Fu) | (top & 0x30303030u)),
          as_type<uchar4>(((second >> 4) & 0x0F0F0F0Fu) | ((top >> 2) & 0x30303030u)),
      };
      UNROLL for (int run = 0; run < 4; ++run)
        UNROLL for (int k = 0; k < 4; ++k) codes[8 * run + 4 * i + k] = float(q[run][k]);
    }
    const float d = load_half(block + 208);
    UNROLL for (int run = 0; run < 4; ++run) {
      const uint group = side * 8 + run * 2 + slice % 4 / 2;
      scales[run] = d * float(as_type<char>(block[192 + group]));
      offsets[run] = -32.0f * scales[run];
    }
  }
};
