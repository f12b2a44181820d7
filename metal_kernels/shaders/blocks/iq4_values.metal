// IQ4_NL and IQ4_XS: a nibble is an index into these.
constant float iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

METAL_FUNC void look_up_nibbles(uint word, thread float* low, thread float* high) {
  UNROLL for (int i = 0; i < 4; ++i) {
    low[i] = iq4_values[word >> (8 * i) & 15];
    high[i] = iq4_values[word >> (8 * i + 4) & 15];
  }
}
