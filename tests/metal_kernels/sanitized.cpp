// Runs every kernel of this processor over awkward sizes, with buffers of exactly the size the ops
// allocate. Built with sanitizers by test_sanitizers.py.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "grouped_rows.h"
#include "joint_products.h"
#include "kernels.h"
#include "pack.h"
#include "quantize.h"
#include "thread_pool.h"

using namespace localllm;

namespace {

struct Free {
  void operator()(void* p) const { std::free(p); }
};
template <typename T>
std::unique_ptr<T[], Free> make(size_t count) {
  size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
  auto* p = static_cast<T*>(std::aligned_alloc(64, std::max<size_t>(bytes, 64)));
  std::memset(static_cast<void*>(p), 0, bytes);
  return std::unique_ptr<T[], Free>(p);
}

std::mt19937 random_numbers(1);

void fill(float* x, size_t count) {
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < count; ++i) x[i] = normal(random_numbers);
}

void multiply(const Format& f, const uint8_t* packed, int rows, int columns, int inputs) {
  const MatmulKernels& k = kernels().matmul;
  std::vector<float> x(size_t(inputs) * columns), y(size_t(inputs) * rows);
  fill(x.data(), x.size());
  Panel panel;
  panel.num_rows = inputs;
  panel.num_columns = columns;
  panel.num_supers = num_supers(columns);
  size_t blocks = size_t(inputs) * panel.num_supers;
  auto planes = make<int8_t>(blocks * 512 + 1024);
  auto info = make<BlockInfo>(blocks + kTileRows);
  auto split = make<uint16_t>(size_t(num_tiles(inputs)) * ((columns + 31) / 32) * 1024);
  panel.planes = planes.get();
  panel.info = info.get();
  bool splits = f.kind == Kind::Dense && f.number != Number::F32 && k.split_rows;
  if (splits) k.split_rows(x.data(), columns, split.get(), 0, inputs);
  else if (f.kind != Kind::Dense) k.quantize_rows(x.data(), panel, 0, inputs);
  MatmulJob job{f,     packed,   rows, columns, inputs, panel, x.data(), splits ? split.get() : nullptr,
                y.data()};
  parallel_ranges(num_tiles(rows), 2, [&](int64_t begin, int64_t end) {
    k.matmul(job, int(begin), int(end));
  });
}

void run_matmuls(const std::string& name, int columns) {
  constexpr int kRows = 37;
  Format f = parse_format(name);
  int64_t row_bytes = gguf_row_bytes(name, columns);
  std::vector<uint8_t> blocks(size_t(kRows) * row_bytes);
  for (auto& b : blocks) b = uint8_t(random_numbers() & 0x3b);  // no NaN among the scales
  auto packed = make<uint8_t>(num_tiles(kRows) * tile_bytes(f, columns));
  pack_gguf(name, blocks.data(), row_bytes, kRows, columns, packed.get());
  std::vector<float> row(columns);
  unpack_row(f, packed.get(), columns, kRows - 1, row.data());
  for (int inputs : {1, 2, 3, 5, 17, 40}) multiply(f, packed.get(), kRows, columns, inputs);
}

void run_groups(const std::string& name, int columns, int inputs) {
  constexpr int kMatrices = 4, kRows = 37;
  Format f = parse_format(name);
  int64_t row_bytes = gguf_row_bytes(name, columns);
  int64_t matrix_bytes = num_tiles(kRows) * tile_bytes(f, columns);
  std::vector<uint8_t> blocks(size_t(kRows) * row_bytes);
  for (auto& b : blocks) b = uint8_t(random_numbers() & 0x3b);
  auto packed = make<uint8_t>(kMatrices * matrix_bytes);
  for (int e = 0; e < kMatrices; ++e)
    pack_gguf(name, blocks.data(), row_bytes, kRows, columns, packed.get() + e * matrix_bytes);
  std::vector<float> x(size_t(inputs) * columns), y(size_t(inputs) * kRows), z(y.size());
  fill(x.data(), x.size());
  std::vector<int32_t> ids(inputs);
  for (auto& id : ids) id = int32_t(random_numbers() % (kMatrices - 1));
  Grouping grouping = group_rows(ids.data(), inputs, kMatrices);
  Stack w{f, kMatrices, kRows, columns, matrix_bytes, packed.get()};
  GroupedInputs rows(grouping, {&w}, [&](int place, float*) {
    return x.data() + int64_t(grouping.order[place]) * columns;
  });
  multiply_groups(grouping, rows, {{w, y.data()}, {w, z.data()}});
}

constexpr int kBlock = 16;

void attend(const AttentionKernels& k, const void* pool, int size_k, int size_v, int rows,
            int context) {
  constexpr int kGroup = 3;
  AttentionShape shape{kGroup, 1, size_k, size_v, kBlock, false, 0.125f, 20, 0};
  std::vector<float> q(size_t(rows) * kGroup * size_k);
  fill(q.data(), q.size());
  std::vector<int32_t> table((context + kBlock - 1) / kBlock);
  for (size_t i = 0; i < table.size(); ++i) table[i] = int32_t(i);
  int lanes = rows * kGroup;
  auto scratch = make<float>(k.scratch_floats(shape, lanes));
  auto values = make<float>(size_t(2) * lanes * shape.padded_v());
  std::vector<LaneState> states(2 * lanes);
  for (int i = 0; i < 2 * lanes; ++i) states[i].values = values.get() + i * shape.padded_v();
  AttentionTask task{q.data(), pool, table.data(),   0, 0,
                     lanes,    context - rows, 0, std::min(context, kSplitKeys)};
  k.attend(shape, task, scratch.get(), states.data());
  k.attend(shape, task, scratch.get(), states.data() + lanes);
  for (int i = 0; i < lanes; ++i) k.merge(shape, states[i], states[lanes + i]);
}

// Integer, split and plain inputs side by side, more matrices than threads.
void run_joint(int inputs) {
  constexpr int kColumns = 512;
  std::vector<float> x(size_t(inputs) * kColumns);
  fill(x.data(), x.size());
  std::vector<std::unique_ptr<uint8_t[], Free>> weights;
  std::vector<std::vector<float>> results;
  std::vector<Product> products;
  for (auto [name, rows] : {std::pair{"Q4_K", 37}, {"F16", 50}, {"Q8_0", 3}, {"F32", 17}}) {
    Format f = parse_format(name);
    int64_t row_bytes = gguf_row_bytes(name, kColumns);
    std::vector<uint8_t> blocks(size_t(rows) * row_bytes);
    for (auto& b : blocks) b = uint8_t(random_numbers() & 0x3b);
    weights.push_back(make<uint8_t>(num_tiles(rows) * tile_bytes(f, kColumns)));
    pack_gguf(name, blocks.data(), row_bytes, rows, kColumns, weights.back().get());
    results.emplace_back(size_t(inputs) * rows);
    products.push_back({f, weights.back().get(), rows, results.back().data()});
  }
  multiply(products, kColumns, x.data(), inputs);
}

void run_attention(int size_k, int size_v, int rows, int context) {
  std::vector<float> pool(size_t((context + kBlock - 1) / kBlock) * kBlock * (size_k + size_v));
  fill(pool.data(), pool.size());
  attend(kernels().attention, pool.data(), size_k, size_v, rows, context);
}

void run_int8_attention(int size_k, int size_v, int rows, int context) {
  Int8Row row{size_k, size_v};
  std::vector<float> x(row.width());
  std::vector<uint8_t> pool(size_t((context + kBlock - 1) / kBlock) * kBlock * row.num_bytes());
  for (size_t at = 0; at < pool.size(); at += row.num_bytes()) {
    fill(x.data(), x.size());
    kernels().int8.pack_row(row, x.data(), x.data() + size_k, pool.data() + at);
  }
  attend(kernels().int8.attention, pool.data(), size_k, size_v, rows, context);
}

void run_pointwise() {
  for (int n : {1, 15, 16, 33}) {
    std::vector<float> a(n), b(n), y(n);
    std::vector<uint16_t> half(n);
    fill(a.data(), n);
    fill(b.data(), n);
    const PointwiseKernels& k = kernels().pointwise;
    k.rms_norm(a.data(), b.data(), 1e-5f, n, y.data());
    k.swiglu(a.data(), b.data(), n, y.data());
    k.geglu(a.data(), b.data(), n, y.data());
    k.to_half(a.data(), n, half.data());
    if (n > 1) k.rope(a.data(), b.data(), b.data(), n / 2, n % 2, y.data());
  }
}

void run_quantize(const std::string& name) {
  const BlockLayout& layout = *find_block_layout(name);
  int columns = 3 * layout.columns, rows = 7, blocks = rows * 3;
  std::vector<float> x(size_t(rows) * columns), importance(columns, 0.5f);
  fill(x.data(), x.size());
  std::vector<uint16_t> half(x.size());
  kernels().pointwise.to_half(x.data(), int64_t(x.size()), half.data());
  std::vector<uint8_t> out(size_t(blocks) * layout.num_bytes);
  const auto *floats = reinterpret_cast<const uint8_t*>(x.data()),
             *halves = reinterpret_cast<const uint8_t*>(half.data());
  quantize_all({layout, floats, Number::F32, nullptr, columns, blocks, out.data()});
  for (Number type : {Number::F16, Number::BF16})
    quantize_all({layout, halves, type, importance.data(), columns, blocks, out.data()});
}

}  // namespace

int main() {
  ThreadPool::instance().set_num_threads(3);
  for (const char* isa : {"scalar", "avx2", "avx512", "amx"}) {
    if (!*choose_isa(isa)) {
      choose_isa("");
      continue;
    }
    for (const char* name : {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"})
      run_matmuls(name, 512);
    for (const char* name : {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4"})
      run_matmuls(name, 288 + 32);
    for (const char* name : {"F16", "BF16", "F32"}) run_matmuls(name, 51);
    for (int inputs : {1, 5, 60}) {
      run_groups("Q4_K", 512, inputs);
      run_groups("MXFP4", 320, inputs);
      run_groups("F16", 51, inputs);
      run_groups("F32", 51, inputs);
    }
    for (int inputs : {1, 9, 40}) run_joint(inputs);
    run_attention(64, 64, 1, 70);
    run_attention(20, 36, 7, 600);
    run_int8_attention(64, 64, 1, 70);
    run_int8_attention(80, 48, 7, 600);
    run_pointwise();
    for (const char* name : {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
                             "Q8_0"})
      run_quantize(name);
    std::printf("%s\n", isa);
  }
  ThreadPool::instance().set_num_threads(1);
}
