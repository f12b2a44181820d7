// A token's row of one kv head in an int8 pool: D + DV signed bytes, key before value, then a float16
// scale for each group of them. Groups are 32 long where that divides both, else 16.
template <int D, int DV>
struct Int8Row {
  enum : int { group = D % 32 == 0 && DV % 32 == 0 ? 32 : 16, bytes = D + DV + (D + DV) / group * 2 };
};

template <typename P, int D, int DV>
METAL_FUNC const device uchar* find_row(const device uchar* pool, uint slot) {
  return pool + ulong(slot) * Int8Row<D, DV>::bytes;
}

template <int WIDTH, int D, int DV>
METAL_FUNC vec<float, WIDTH> load_int8(const device uchar* row, int column) {
  const float scale = float(((const device half*)(row + D + DV))[column / Int8Row<D, DV>::group]);
  const vec<char, WIDTH> stored = *(const device vec<char, WIDTH>*)(row + column);
  vec<float, WIDTH> values;
  UNROLL for (int i = 0; i < WIDTH; ++i) values[i] = scale * float(stored[i]);
  return values;
}

template <typename P, int D, int DV>
METAL_FUNC vec<float, 4> load_key(const device uchar* pool, uint slot, int part) {
  return load_int8<4, D, DV>(find_row<P, D, DV>(pool, slot), part * 4);
}

template <int WIDTH, typename P, int D, int DV>
METAL_FUNC vec<float, WIDTH> load_value(const device uchar* pool, uint slot, int part) {
  return load_int8<WIDTH, D, DV>(find_row<P, D, DV>(pool, slot), D + part * WIDTH);
}

// Elements 4 * part and on of the row, key and value counted as one.
template <typename F, typename P, int D, int DV>
METAL_FUNC vec<F, 4> load_part(const device uchar* row, int part) {
  const vec<float, 4> stored = load_int8<4, D, DV>(row, part * 4);
  vec<F, 4> values;
  UNROLL for (int i = 0; i < 4; ++i) values[i] = F(stored[i]);
  return values;
}
