// Q5_0 and Q5_1: nibbles as in Q4_0, and one 32-bit word with the fifth bit of value i at bit i.

// Bit i of four in byte i.
METAL_FUNC uint spread_bits(uint four) { return (four & 15u) * 0x00204081u & 0x01010101u; }

METAL_FUNC void unpack_five_bits(const device uchar* nibbles, uint fifth, uint slice,
                                 thread float* codes) {
  UNROLL for (int i = 0; i < 2; ++i) {
    const uint at = slice * 8 + 4 * i, word = load_word(nibbles + at);
    unpack_bytes<5>((word & 0x0F0F0F0Fu) | spread_bits(fifth >> at) << 4, codes + 4 * i);
    unpack_bytes<5>((word >> 4 & 0x0F0F0F0Fu) | spread_bits(fifth >> (16 + at)) << 4, codes + 8 + 4 * i);
  }
}
