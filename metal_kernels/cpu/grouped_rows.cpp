#include "grouped_rows.h"

#include <algorithm>
#include <cstring>

#include "thread_pool.h"

namespace localllm {

Grouping group_rows(const int32_t* ids, int num_rows, int num_matrices) {
  std::vector<int32_t> starts(num_matrices + 1, 0);
  for (int r = 0; r < num_rows; ++r) ++starts[ids[r] + 1];
  Grouping made;
  made.order.resize(num_rows);
  made.group_of.resize(num_rows);
  for (int e = 0; e < num_matrices; ++e) {
    int count = starts[e + 1];
    starts[e + 1] += starts[e];
    if (!count) continue;
    auto first = made.group_of.begin() + starts[e];
    std::fill(first, first + count, int32_t(made.groups.size()));
    made.groups.push_back({e, starts[e], count, made.split_tiles});
    made.split_tiles += num_tiles(count);
  }
  for (int r = 0; r < num_rows; ++r) made.order[starts[ids[r]]++] = r;
  return made;
}

namespace {

int64_t split_numbers(int num_columns) { return int64_t((num_columns + 31) / 32) * 1024; }

}  // namespace

GroupedInputs::GroupedInputs(const Grouping& grouping, std::initializer_list<const Stack*> stacks,
                             const Row& row)
    : grouping_(grouping), num_columns_((*stacks.begin())->num_columns) {
  static thread_local Scratch plane_scratch, info_scratch, split_scratch, row_scratch;
  int supers = num_supers(num_columns_);
  int64_t num_blocks = int64_t(grouping.num_rows()) * supers;
  for (const Stack* w : stacks) {
    if (w->format.kind != Kind::Dense) {
      planes_ = plane_scratch.get<int8_t>(num_blocks * 512 + 1024);  // AMX reads whole tiles
      info_ = info_scratch.get<BlockInfo>(num_blocks + kTileRows);
      continue;
    }
    rows_ = row_scratch.get<float>(size_t(grouping.num_rows()) * num_columns_);
    if (w->format.number != Number::F32 && kernels().matmul.split_rows)
      split_ = split_scratch.get<uint16_t>(grouping.split_tiles * split_numbers(num_columns_));
  }
  for (const Group& g : grouping.groups) {
    int64_t before = int64_t(g.begin) * supers;
    panels_.push_back(planes_ ? Panel{g.count, num_columns_, supers, planes_ + before * 512,
                                      info_ + before}
                              : Panel{});
  }
  parallel_ranges(grouping.num_rows(), std::max(1, 32768 / num_columns_),
                  [&](int64_t begin, int64_t end) {
                    for (int place = int(begin); place < end; ++place) prepare_row(place, row);
                  });
}

// The kernels find row i of a group at x + i * num_columns.
void GroupedInputs::prepare_row(int place, const Row& row) {
  static thread_local Scratch spare_scratch;
  int group = grouping_.group_of[place];
  const Group& g = grouping_.groups[group];
  const MatmulKernels& k = kernels().matmul;
  const float* x = row(place, spare_scratch.get<float>(num_columns_));
  int in_group = place - g.begin;
  if (planes_)
    k.quantize_rows(x - int64_t(in_group) * num_columns_, panels_[group], in_group, in_group + 1);
  if (rows_) std::memcpy(rows_ + int64_t(place) * num_columns_, x, sizeof(float) * num_columns_);
  if (split_)
    k.split_rows(rows_ + int64_t(g.begin) * num_columns_, num_columns_, split_of(g), in_group,
                 in_group + 1);
}

uint16_t* GroupedInputs::split_of(const Group& g) const {
  return split_ ? split_ + g.split_tiles * split_numbers(num_columns_) : nullptr;
}

MatmulJob GroupedInputs::job(const Stack& w, const Group& g, float* y) const {
  bool splits = w.format.kind == Kind::Dense && w.format.number != Number::F32;
  return {w.format,
          w.weights + g.matrix * w.matrix_bytes,
          w.num_rows,
          w.num_columns,
          g.count,
          panels_[grouping_.group_of[g.begin]],
          rows_ ? rows_ + int64_t(g.begin) * num_columns_ : nullptr,
          splits ? split_of(g) : nullptr,
          y + int64_t(g.begin) * w.num_rows};
}

void multiply_groups(const Grouping& grouping, const GroupedInputs& inputs,
                     std::initializer_list<GroupedProduct> products) {
  struct Task {
    const GroupedProduct* product;
    int group, begin, end;
  };
  int num_groups = int(grouping.groups.size());
  int64_t all_tiles = 0;
  for (const auto& p : products) all_tiles += int64_t(num_tiles(p.stack.num_rows)) * num_groups;
  // Many rows: fewer, larger ranges reuse inputs in the cache. Few: balance matters more.
  bool many = grouping.num_rows() > 32 * int64_t(num_groups);
  int64_t ranges = ThreadPool::instance().num_threads() * (many ? 2 : 8);
  int share = round_up(int(std::clamp<int64_t>(all_tiles / ranges, 1, 16)), 2);
  std::vector<Task> tasks;
  for (int g = 0; g < num_groups; ++g)
    for (const auto& p : products)
      for (int t = 0, tiles = num_tiles(p.stack.num_rows); t < tiles; t += share)
        tasks.push_back({&p, g, t, std::min(t + share, tiles)});
  ThreadPool::instance().parallel_for(int64_t(tasks.size()), [&](int64_t i) {
    const Task& task = tasks[i];
    MatmulJob job = inputs.job(task.product->stack, grouping.groups[task.group], task.product->y);
    kernels().matmul.matmul(job, task.begin, task.end);
  });
}

}  // namespace localllm
