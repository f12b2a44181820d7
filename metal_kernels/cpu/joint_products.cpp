#include "joint_products.h"

#include <algorithm>
#include <functional>

#include "kernels.h"
#include "scratch.h"
#include "thread_pool.h"

namespace localllm {
namespace {

bool wants_integers(const Product& p) { return p.format.kind != Kind::Dense; }
bool wants_split(const Product& p) {
  return p.format.kind == Kind::Dense && p.format.number != Number::F32 &&
         kernels().matmul.split_rows;
}

void for_inputs(int num_columns, int num_inputs, const std::function<void(int, int)>& body) {
  int64_t grain = std::max(1, 32768 / num_columns);
  parallel_ranges(num_inputs, grain,
                  [&](int64_t begin, int64_t end) { body(int(begin), int(end)); });
}

Panel make_panel(int num_columns, const float* x, int num_inputs) {
  static thread_local Scratch plane_scratch, info_scratch;
  Panel panel;
  panel.num_rows = num_inputs;
  panel.num_columns = num_columns;
  panel.num_supers = num_supers(num_columns);
  int64_t num_blocks = int64_t(num_inputs) * panel.num_supers;
  panel.planes = plane_scratch.get<int8_t>(num_blocks * 512 + 1024);  // AMX reads whole tiles
  panel.info = info_scratch.get<BlockInfo>(num_blocks + kTileRows);
  for_inputs(num_columns, num_inputs, [&](int begin, int end) {
    kernels().matmul.quantize_rows(x, panel, begin, end);
  });
  return panel;
}

const uint16_t* make_split(int num_columns, const float* x, int num_inputs) {
  static thread_local Scratch scratch;
  int64_t tiles = num_tiles(num_inputs), steps = (num_columns + 31) / 32;
  auto* split = scratch.get<uint16_t>(tiles * steps * 1024);
  for_inputs(num_columns, num_inputs, [&](int begin, int end) {
    kernels().matmul.split_rows(x, num_columns, split, begin, end);
  });
  return split;
}

struct Range {  // of a product's weight tiles
  const Product* product;
  int begin, end;
};

std::vector<Range> share_out(const std::vector<Product>& products, int num_inputs) {
  int tiles = 0;
  for (const Product& p : products) tiles += num_tiles(p.num_rows);
  // Many inputs: fewer, larger ranges reuse inputs in the cache. Few: balance matters more.
  int wanted = ThreadPool::instance().num_threads() * (num_inputs > 32 ? 2 : 8);
  int share = round_up(std::clamp(tiles / wanted, 1, 16), 2);
  std::vector<Range> ranges;
  for (const Product& p : products)
    for (int begin = 0, end = num_tiles(p.num_rows); begin < end; begin += share)
      ranges.push_back({&p, begin, std::min(end, begin + share)});
  return ranges;
}

}  // namespace

void multiply(const std::vector<Product>& products, int num_columns, const float* x,
              int num_inputs) {
  Panel panel;
  const uint16_t* split = nullptr;
  if (std::any_of(products.begin(), products.end(), wants_integers))
    panel = make_panel(num_columns, x, num_inputs);
  if (std::any_of(products.begin(), products.end(), wants_split))
    split = make_split(num_columns, x, num_inputs);
  std::vector<Range> ranges = share_out(products, num_inputs);
  ThreadPool::instance().parallel_for(int64_t(ranges.size()), [&](int64_t i) {
    const auto& [p, begin, end] = ranges[i];
    const uint16_t* own_split = wants_split(*p) ? split : nullptr;
    MatmulJob job{p->format, p->weights, p->num_rows, num_columns, num_inputs,
                  panel,     x,          own_split,   p->y};
    kernels().matmul.matmul(job, begin, end);
  });
}

}  // namespace localllm
