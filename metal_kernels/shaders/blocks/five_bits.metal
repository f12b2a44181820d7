// Q5_0 and Q5_1: nibbles as in Q4_0, and one 32-bit word with the fifth bit of value i at bit i.
METAL_FUNC void unpack_five_bits(const device uchar* nibbles, uint fifth, uint slice,
                                 thread float* codes) {
  UNROLL for (int i = 0; i < 2; ++i) {
    const uint word = load_word(nibbles + slice * 8 + 4 * i);
    UNROLL for (int k = 0; k < 4; ++k) {
      const uint at = slice * 8 + 4 * i + k, pair = word >> (8 * k);
      codes[4 * i + k] = float((pair & 15) | (fifth >> at & 1) << 4);
      codes[8 + 4 * i + k] = float((pair >> 4 & 15) | (fifth >> (16 + at) & 1) << 4);
    }
  }
}
