// Q4_K and Q5_K: sub-blocks of 32 with 6-bit scales and minimums, packed in 12 bytes after d, dmin.
// `pair` names sub-blocks 2 * pair and 2 * pair + 1; their two bytes are decoded together.
METAL_FUNC void read_k_scales(uint4 head, uint pair, thread float* scales, thread float* offsets) {
  const half2 d = as_type<half2>(head.x);
  const uint shift = 16 * (pair % 2);
  const uint a = head.y >> shift, b = head.z >> shift, c = head.w >> shift;
  const bool first = pair < 2;
  const uint scale = first ? a & 0x3F3F : (c & 0x0F0F) | ((a >> 2) & 0x3030);
  const uint minimum = first ? b & 0x3F3F : ((c >> 4) & 0x0F0F) | ((b >> 2) & 0x3030);
  scales[0] = float(d.x) * float(scale & 0xFF);
  scales[1] = float(d.x) * float((scale >> 8) & 0xFF);
  offsets[0] = -float(d.y) * float(minimum & 0xFF);
  offsets[1] = -float(d.y) * float((minimum >> 8) & 0xFF);
}
