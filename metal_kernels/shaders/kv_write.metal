// k [T, Hkv, D] and v [T, Hkv, DV] into the slots of the pool [num_blocks, Hkv, BS, D + DV], in place.
// MLX sees no output for that, hence the fence: see metal/fence.py.
const uint column = thread_position_in_grid.x, head = thread_position_in_grid.y;
const uint token = thread_position_in_grid.z, num_heads = threads_per_grid.y;
if (head == 0 && token == 0 && column < 8) fence[column] = 0.0f;
const int slot = slots[token];
if (slot < 0) return;  // a row that pads the batch

device P* cache = const_cast<device P*>(pool);
const ulong row = (ulong(slot / BS) * num_heads + head) * BS + slot % BS;
const ulong from = ulong(token) * num_heads + head;
cache[row * (D + DV) + column] = P(float(column < D ? k[from * D + column] : v[from * DV + column - D]));
