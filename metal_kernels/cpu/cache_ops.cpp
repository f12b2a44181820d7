#include "cache_ops.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "kernels.h"
#include "mlx/allocator.h"
#include "op.h"
#include "scratch.h"
#include "thread_pool.h"

namespace localllm {
namespace {

constexpr int kLanesPerTask = 48;

// Calls write(row of the pool, row of k and v) for all rows that have a slot.
void for_each_row(const mx::array& pool, const mx::array& slots,
                  const std::function<void(int64_t, int64_t)>& write) {
  int num_heads = pool.shape(1), block_size = pool.shape(2);
  const auto* slot = slots.data<int32_t>();
  parallel_ranges(int64_t(slots.size()), 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t block = slot[i] / block_size, offset = slot[i] % block_size;
      if (slot[i] < 0 || block >= pool.shape(0)) continue;
      for (int h = 0; h < num_heads; ++h)
        write((block * num_heads + h) * block_size + offset, i * num_heads + h);
    }
  });
}

void copy_row(const float* from, int count, uint16_t* to) {
  kernels().pointwise.to_half(from, count, to);
}
void copy_row(const float* from, int count, float* to) { std::copy(from, from + count, to); }

template <typename T>
void write_numbers(mx::array& pool, const mx::array& slots, const mx::array& k,
                   const mx::array& v) {
  int size_k = k.shape(-1), size_v = v.shape(-1);
  for_each_row(pool, slots, [&](int64_t to, int64_t from) {
    T* row = pool.data<T>() + to * (size_k + size_v);
    copy_row(k.data<float>() + from * size_k, size_k, row);
    copy_row(v.data<float>() + from * size_v, size_v, row + size_k);
  });
}

void write_bytes(mx::array& pool, const mx::array& slots, const mx::array& k,
                 const mx::array& v) {
  Int8Row row{k.shape(-1), v.shape(-1)};
  for_each_row(pool, slots, [&](int64_t to, int64_t from) {
    kernels().int8.pack_row(row, k.data<float>() + from * row.size_k,
                            v.data<float>() + from * row.size_v,
                            pool.data<uint8_t>() + to * row.num_bytes());
  });
}

class KvWrite : public Op {
 public:
  using Op::Op;
  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.copy_shared_buffer(in[0]);
    enqueue({in[1], in[2], in[3]}, out, [](Arrays& in, mx::array& out) {
      if (out.dtype() == mx::uint8) write_bytes(out, in[0], in[1], in[2]);
      else if (out.dtype() == mx::float16) write_numbers<uint16_t>(out, in[0], in[1], in[2]);
      else write_numbers<float>(out, in[0], in[1], in[2]);
    });
  }
  const char* name() const override { return "KvWrite"; }
};

// One tile of lanes of one sequence and key head.
struct Unit {
  AttentionTask task;
  int sequence;
  int num_splits;
  int64_t first_state;  // of num_splits * num_lanes
};

struct Step {
  const AttentionShape& shape;
  const AttentionKernels& kernels;
  const float* q;
  const void* pool;
  const int32_t *block_tables, *query_starts, *context_lens;
  int num_sequences, table_width;
  const float* sinks;  // or null
  float* out;
};

std::vector<Unit> plan(const Step& step) {
  std::vector<Unit> units;
  const AttentionShape& shape = step.shape;
  int64_t states = 0;
  for (int s = 0; s < step.num_sequences; ++s) {
    int first_row = step.query_starts[s], rows = step.query_starts[s + 1] - first_row;
    int first_position = step.context_lens[s] - rows;
    for (int head = 0; head < shape.num_kv_heads; ++head)
      for (int lane = 0; lane < rows * shape.group(); lane += kLanesPerTask) {
        AttentionTask task{};
        task.q = step.q + int64_t(first_row) * shape.num_heads * shape.head_size_k;
        task.pool = step.pool;
        task.block_table = step.block_tables + int64_t(s) * step.table_width;
        task.kv_head = head;
        task.first_lane = lane;
        task.num_lanes = std::min(kLanesPerTask, rows * shape.group() - lane);
        task.first_position = first_position;
        int last = first_position + (lane + task.num_lanes - 1) / shape.group();
        int num_splits = (last + kSplitKeys) / kSplitKeys;
        units.push_back({task, s, num_splits, states});
        states += int64_t(num_splits) * task.num_lanes;
      }
  }
  return units;
}

void attend_split(const Step& step, const Unit& unit, int split, float* scratch,
                  LaneState* states) {
  AttentionTask task = unit.task;
  task.key_begin = split * kSplitKeys;
  task.key_end = std::min(task.key_begin + kSplitKeys, step.context_lens[unit.sequence]);
  step.kernels.attend(step.shape, task, scratch, states);
}

void finish(const Step& step, const Unit& unit, const LaneState* states) {
  const AttentionShape& shape = step.shape;
  int group = shape.group();
  for (int i = 0; i < unit.task.num_lanes; ++i) {
    int lane = unit.task.first_lane + i, head = unit.task.kv_head * group + lane % group;
    int64_t row = step.query_starts[unit.sequence] + lane / group;
    float* out = step.out + (row * shape.num_heads + head) * shape.head_size_v;
    float weights = states[i].weights, factor = 1;
    if (step.sinks) {
      float top = std::max(states[i].largest, step.sinks[head]);
      factor = std::exp(states[i].largest - top);
      weights = weights * factor + std::exp(step.sinks[head] - top);
    }
    float inverse = weights > 0 ? factor / weights : 0;
    for (int d = 0; d < shape.head_size_v; ++d) out[d] = states[i].values[d] * inverse;
  }
}

// All splits of a unit, one after the other.
void run_unit(const Step& step, const Unit& unit) {
  static thread_local Scratch scratch;
  const AttentionKernels& attention = step.kernels;
  int lanes = unit.task.num_lanes, padded = step.shape.padded_v();
  int64_t work = attention.scratch_floats(step.shape, lanes);
  float* memory = scratch.get<float>(work + 2 * int64_t(lanes) * padded);
  LaneState total[kLanesPerTask], part[kLanesPerTask];
  for (int i = 0; i < lanes; ++i) {
    total[i].values = memory + work + int64_t(i) * padded;
    part[i].values = memory + work + int64_t(lanes + i) * padded;
  }
  attend_split(step, unit, 0, memory, total);
  for (int split = 1; split < unit.num_splits; ++split) {
    attend_split(step, unit, split, memory, part);
    for (int i = 0; i < lanes; ++i) attention.merge(step.shape, total[i], part[i]);
  }
  finish(step, unit, total);
}

// Splits of all units side by side, then merged in the same order as above.
void run_splits(const Step& step, const std::vector<Unit>& units) {
  static thread_local Scratch state_scratch, value_scratch;
  const AttentionKernels& attention = step.kernels;
  int padded = step.shape.padded_v();
  std::vector<std::pair<int, int>> tasks;
  for (int u = 0; u < int(units.size()); ++u)
    for (int split = 0; split < units[u].num_splits; ++split) tasks.push_back({u, split});
  const Unit& last = units.back();
  int64_t num_states = last.first_state + int64_t(last.num_splits) * last.task.num_lanes;
  auto* states = state_scratch.get<LaneState>(num_states);
  float* values = value_scratch.get<float>(num_states * padded);
  for (int64_t i = 0; i < num_states; ++i) states[i].values = values + i * padded;
  ThreadPool::instance().parallel_for(int64_t(tasks.size()), [&](int64_t t) {
    static thread_local Scratch scratch;
    const Unit& unit = units[tasks[t].first];
    int lanes = unit.task.num_lanes;
    float* memory = scratch.get<float>(attention.scratch_floats(step.shape, lanes));
    LaneState* own = states + unit.first_state + int64_t(tasks[t].second) * lanes;
    attend_split(step, unit, tasks[t].second, memory, own);
  });
  parallel_ranges(int64_t(units.size()), 8, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const Unit& unit = units[u];
      int lanes = unit.task.num_lanes;
      LaneState* total = states + unit.first_state;
      for (int split = 1; split < unit.num_splits; ++split)
        for (int i = 0; i < lanes; ++i)
          attention.merge(step.shape, total[i], total[split * lanes + i]);
      finish(step, unit, total);
    }
  });
}

class PagedAttention : public Op {
 public:
  PagedAttention(mx::Stream s, AttentionShape shape, bool has_sinks)
      : Op(s), shape_(shape), has_sinks_(has_sinks) {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    if (!in[1].flags().row_contiguous) throw std::runtime_error("the pool must be contiguous");
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [shape = shape_, sinks = has_sinks_](Arrays& in, mx::array& out) {
      bool is_int8 = in[1].dtype() == mx::uint8;
      const AttentionKernels& attention = is_int8 ? kernels().int8.attention : kernels().attention;
      Step step{shape, attention, in[0].data<float>(), in[1].data<void>(), in[2].data<int32_t>(),
                in[3].data<int32_t>(), in[4].data<int32_t>(), int(in[4].size()), in[2].shape(1),
                sinks ? in[5].data<float>() : nullptr, out.data<float>()};
      std::vector<Unit> units = plan(step);
      if (units.empty()) return;
      if (int(units.size()) < 4 * ThreadPool::instance().num_threads())
        return run_splits(step, units);
      ThreadPool::instance().parallel_for(int64_t(units.size()), [&](int64_t u) {
        run_unit(step, units[u]);
      });
    });
  }
  const char* name() const override { return "PagedAttention"; }

 private:
  AttentionShape shape_;
  bool has_sinks_;
};

// Whole pages go back to the system, which gives zeros when they are wanted again.
void zero_without_touching(char* data, size_t num_bytes) {
  const auto page = uintptr_t(sysconf(_SC_PAGESIZE));
  char* end = data + num_bytes;
  char* first = std::min(end, reinterpret_cast<char*>((uintptr_t(data) + page - 1) & ~(page - 1)));
  char* last = std::max(first, reinterpret_cast<char*>(uintptr_t(end) & ~(page - 1)));
  if (last > first && madvise(first, last - first, MADV_DONTNEED) != 0) last = first;
  std::memset(data, 0, first - data);
  std::memset(last, 0, end - last);
}

void check_pool(const mx::array& pool) {
  if (pool.dtype() != mx::float16 && pool.dtype() != mx::float32 && pool.dtype() != mx::uint8)
    throw std::invalid_argument("the CPU kernels take a pool of float16, float32 or scaled bytes");
}

// The pool says how long a row is, the query how much of that is the key.
int value_size(const mx::array& pool, int size_k) {
  int row_size = pool.shape(3);
  if (pool.dtype() != mx::uint8) return row_size - size_k;
  for (int group : {32, 16}) {
    Int8Row row{size_k, row_size * group / (group + 2) - size_k};
    if (row_size % (group + 2) == 0 && row.fits() && row.num_bytes() == row_size) return row.size_v;
  }
  throw std::invalid_argument("rows of scaled bytes do not fit the queries");
}

}  // namespace

mx::array zero_pool(const std::vector<int>& shape, mx::Dtype dtype) {
  mx::array pool(mx::Shape(shape.begin(), shape.end()), dtype, nullptr, {});
  check_pool(pool);
  pool.set_data(mx::allocator::malloc(pool.nbytes()));
  zero_without_touching(pool.data<char>(), pool.nbytes());
  pool.set_status(mx::array::Status::available);
  return pool;
}

mx::array kv_write(const mx::array& pool, const mx::array& slots, const mx::array& k,
                   const mx::array& v, mx::StreamOrDevice s) {
  check_pool(pool);
  auto stream = mx::to_stream(s, mx::Device::cpu);
  return mx::array(pool.shape(), pool.dtype(), std::make_shared<KvWrite>(stream),
                   {pool, as_int32(slots, stream), as_float(k, stream), as_float(v, stream)});
}

mx::array paged_attention(const mx::array& q, const mx::array& pool, const mx::array& block_tables,
                          const mx::array& query_starts, const mx::array& context_lens, float scale,
                          int window, const std::optional<mx::array>& sinks, float soft_cap,
                          mx::StreamOrDevice s) {
  check_pool(pool);
  auto stream = mx::to_stream(s, mx::Device::cpu);
  AttentionShape shape{q.shape(1), pool.shape(1), q.shape(2), value_size(pool, q.shape(2)),
                       pool.shape(2), pool.dtype() == mx::float16, scale, window, soft_cap};
  Arrays in = {as_float(q, stream), pool, as_int32(block_tables, stream),
               as_int32(query_starts, stream), as_int32(context_lens, stream)};
  if (sinks) in.push_back(as_float(*sinks, stream));
  mx::array out({q.shape(0), q.shape(1), shape.head_size_v}, mx::float32,
                std::make_shared<PagedAttention>(stream, shape, sinks.has_value()), std::move(in));
  return mx::astype(out, q.dtype(), stream);
}

}  // namespace localllm
