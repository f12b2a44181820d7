// Ops on the paged key-value pool [num_blocks, num_kv_heads, block_size, head_size_k + head_size_v],
// or with rows of int8_rows.h where it is of bytes.
#pragma once
#include <optional>
#include <vector>

#include "mlx/array.h"
#include "mlx/utils.h"

namespace localllm {

namespace mx = mlx::core;

// Zeros that take no memory until they are written to, page by page.
mx::array zero_pool(const std::vector<int>& shape, mx::Dtype dtype);

// In place: the result shares the pool's buffer.
mx::array kv_write(const mx::array& pool, const mx::array& slots, const mx::array& k,
                   const mx::array& v, mx::StreamOrDevice s);

mx::array paged_attention(const mx::array& q, const mx::array& pool, const mx::array& block_tables,
                          const mx::array& query_starts, const mx::array& context_lens, float scale,
                          int window, const std::optional<mx::array>& sinks, float soft_cap,
                          mx::StreamOrDevice s);

}  // namespace localllm
