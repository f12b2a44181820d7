// Turns queries and keys by their positions; queries go to q_out, keys and values into the pool.
// A thread owns two columns of one head: a rotated pair, or two of the columns that stay.
const uint pair = thread_position_in_grid.x, head = thread_position_in_grid.y;
const uint token = thread_position_in_grid.z;
const uint num_heads = sizes[0], num_kv_heads = sizes[1], num_pairs = sizes[2];
if (head == 0 && token == 0 && pair < 8) fence[pair] = 0.0f;

const bool turns = pair < num_pairs;
const uint first = INTERLEAVED || !turns ? 2 * pair : pair;
const uint second = INTERLEAVED || !turns ? first + 1 : first + num_pairs;
// Fast cosine loses its meaning at angles of many thousand radians.
const float angle = turns ? float(positions[token]) * inv_freq[pair] : 0.0f;
const float cosine = turns ? metal::precise::cos(angle) * factors[0] : 1.0f;
const float sine = turns ? metal::precise::sin(angle) * factors[0] : 0.0f;

if (head < num_heads) {
  const ulong row = (ulong(token) * num_heads + head) * D;
  if (2 * pair >= D) return;
  const float a = float(q[row + first]), b = float(q[row + second]);
  q_out[row + first] = T(a * cosine - b * sine);
  q_out[row + second] = T(a * sine + b * cosine);
  return;
}
const int slot = slots[token];
if (slot < 0) return;  // a row that pads the batch
const uint kv_head = head - num_heads;
const ulong from = ulong(token) * num_kv_heads + kv_head;
device P* row = const_cast<device P*>(pool) +
    ((ulong(slot / BS) * num_kv_heads + kv_head) * BS + slot % BS) * (D + DV);
if (2 * pair < D) {
  const float a = float(k[from * D + first]), b = float(k[from * D + second]);
  row[first] = P(a * cosine - b * sine);
  row[second] = P(a * sine + b * cosine);
}
if (2 * pair < DV) {
  row[D + 2 * pair] = P(float(v[from * DV + 2 * pair]));
  row[D + 2 * pair + 1] = P(float(v[from * DV + 2 * pair + 1]));
}
