// k [T, Hkv, D] and v [T, Hkv, DV] into the slots of an int8 pool, in place; a thread per group.
constexpr int group = Int8Row<D, DV>::group;
const int first = int(thread_position_in_grid.x) * group;
const uint head = thread_position_in_grid.y, token = thread_position_in_grid.z;
const uint num_heads = threads_per_grid.y;
if (first == 0 && head == 0 && token == 0)
  for (int i = 0; i < 8; ++i) fence[i] = 0.0f;
const int slot = slots[token];
if (slot < 0) return;  // a row that pads the batch

const ulong from = ulong(token) * num_heads + head;
float values[group], largest = 0.0f;
UNROLL for (int i = 0; i < group; ++i) {
  const int column = first + i;
  values[i] = float(column < D ? k[from * D + column] : v[from * DV + column - D]);
  largest = max(largest, metal::abs(values[i]));
}
const half scale = half(largest / 127.0f);
const float inverse = float(scale) > 0.0f ? 1.0f / float(scale) : 0.0f;
device uchar* row = const_cast<device uchar*>(pool) +
    ((ulong(slot / BS) * num_heads + head) * BS + slot % BS) * Int8Row<D, DV>::bytes;
UNROLL for (int i = 0; i < group; i += 4) {
  char4 packed;
  UNROLL for (int j = 0; j < 4; ++j)
    packed[j] = char(metal::clamp(metal::rint(values[i + j] * inverse), -127.0f, 127.0f));
  *(device char4*)(row + first + i) = packed;
}
*(device half*)(row + D + DV + first / group * 2) = scale;
