// Q6_K: two halves of 128 values; ql (128 bytes, nibbles), qh (64, two bits each), a signed scale
// per 16 values, d. Eight bytes of two ql rows and of qh make four runs of eight values.
struct Q6_K {
  enum : uint {
    values = 256, bytes = 210, slices = 8, runs = 4, run_length = 8,
    has_offset = 1, bias = 1,
  };

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
      unpack_bytes<6>((first & 0x0F0F0F0Fu) | (top & 0x03030303u) << 4, codes + 4 * i);
      unpack_bytes<6>((second & 0x0F0F0F0Fu) | (top & 0x0C0C0C0Cu) << 2, codes + 8 + 4 * i);
      unpack_bytes<6>((first >> 4 & 0x0F0F0F0Fu) | (top & 0x30303030u), codes + 16 + 4 * i);
      unpack_bytes<6>((second >> 4 & 0x0F0F0F0Fu) | (top >> 2 & 0x30303030u), codes + 24 + 4 * i);
    }
    const float d = 64.0f * load_half(block + 208);
    UNROLL for (int run = 0; run < 4; ++run) {
      const uint group = side * 8 + run * 2 + slice % 4 / 2;
      scales[run] = d * float(as_type<char>(block[192 + group]));
      offsets[run] = -0.5f * scales[run];
    }
  }
};
