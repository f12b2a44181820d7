// Executes one launch: each lane is a fiber, threadgroups run one after another in an order drawn
// from the seed. A fault abandons the launch and returns its message; nothing is unwound.
#include "runtime.h"

#include <sys/mman.h>

#include <cstring>

#include "launch.h"
#include "memory.h"

namespace sim {
namespace {

// Simdgroups may pass different numbers of collectives between two barriers; lanes of one may not.
bool same_point(const Thread& a, const Thread& b) {
  bool same_count = a.simdgroup != b.simdgroup || a.num_collectives == b.num_collectives;
  return a.line == b.line && a.op == b.op && same_count;
}

bool disagree(const char* what, const Thread& a, const Thread& b) {
  auto place = [](const Thread& t) { return t.state == State::done ? "its end" : t.op; };
  report("divergent %s: thread %u is at %s (line %d), thread %u at %s (line %d), threadgroup (%u, %u, %u)",
         what, a.index, place(a), a.line, b.index, place(b), b.line, a.threadgroup_in_grid.x,
         a.threadgroup_in_grid.y, a.threadgroup_in_grid.z);
  return false;
}

// Releases a simdgroup whose lanes all stand at the same collective. False after a fault.
bool release_simdgroup(uint32_t simdgroup, bool& progress) {
  Thread* first = &launch->threads[simdgroup * simd_width];
  uint32_t n = std::min(simd_width, launch->num_threads - simdgroup * simd_width);
  Thread* waiting = nullptr;
  for (uint32_t i = 0; i < n; ++i) {
    if (first[i].state == State::running) return true;
    if (first[i].state == State::at_collective) waiting = first + i;
  }
  if (!waiting) return true;
  for (uint32_t i = 0; i < n; ++i)
    if (first[i].state != State::at_collective || !same_point(*waiting, first[i]))
      return disagree("simdgroup collective", *waiting, first[i]);
  if (n < simd_width) {
    report("%s (line %d) in a simdgroup of %u lanes", waiting->op, waiting->line, n);
    return false;
  }
  if (waiting->combine) waiting->combine(launch->slots[simdgroup], waiting->argument);
  for (uint32_t i = 0; i < n; ++i) first[i].state = State::running;
  progress = true;
  return true;
}

bool release_barrier(bool& progress) {
  Thread* waiting = nullptr;
  auto& threads = launch->threads;
  for (uint32_t i = 0; i < launch->num_threads; ++i) {
    if (threads[i].state == State::running || threads[i].state == State::at_collective) return true;
    if (threads[i].state == State::at_barrier) waiting = &threads[i];
  }
  if (!waiting) return true;
  for (uint32_t i = 0; i < launch->num_threads; ++i)
    if (threads[i].state != State::at_barrier || !same_point(*waiting, threads[i]))
      return disagree("threadgroup barrier", *waiting, threads[i]);
  launch->epoch++;
  for (uint32_t i = 0; i < launch->num_threads; ++i) {
    threads[i].state = State::running;
    threads[i].simd_epoch = 0;
  }
  progress = true;
  return true;
}

void start_threadgroup(Position group, Position groups, Position grid, Position size) {
  auto clip = [](uint32_t g, uint32_t total, uint32_t n) { return std::min(n, total - g * n); };
  Position live{clip(group.x, grid.x, size.x), clip(group.y, grid.y, size.y),
                clip(group.z, grid.z, size.z)};
  launch->num_threads = live.x * live.y * live.z;
  launch->group_serial++;
  launch->epoch++;
  for (uint32_t i = 0; i < launch->num_threads; ++i) {
    Thread& t = launch->threads[i];
    Position in{i % live.x, i / live.x % live.y, i / (live.x * live.y)};
    static_cast<Lane&>(t) = {{group.x * size.x + in.x, group.y * size.y + in.y, group.z * size.z + in.z},
                             in, group, live, grid, groups, i, i % simd_width, i / simd_width};
    t.state = State::running;
    t.op = "its start";
    t.line = 0;
    t.num_collectives = t.num_arrays = t.simd_epoch = 0;
    fiber_start(t.fiber, stacks + i * stack_bytes, lane_main);
  }
}

bool all_done() {
  for (uint32_t i = 0; i < launch->num_threads; ++i)
    if (launch->threads[i].state != State::done) return false;
  return true;
}

void run_threadgroup() {
  std::vector<uint32_t> order(launch->num_threads);
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  while (!launch->failed && !all_done()) {
    if (launch->random) std::shuffle(order.begin(), order.end(), launch->rng);
    // Holding whole simdgroups back for a round lets others run far ahead of them.
    uint64_t held = launch->random ? launch->rng() & launch->rng() : 0;
    bool progress = false;
    for (uint32_t i : order) {
      Thread& t = launch->threads[i];
      if (t.state != State::running) continue;
      progress = true;
      if (held >> t.simdgroup & 1) continue;
      launch->running = &t;
      fiber_switch(launch->scheduler, t.fiber);
      launch->running = nullptr;
      if (launch->failed) return;
    }
    for (uint32_t s = 0; s * simd_width < launch->num_threads; ++s)
      if (!release_simdgroup(s, progress)) return;
    if (!release_barrier(progress)) return;
    if (!progress) report("deadlock");
  }
}

}  // namespace

// What kernels call.

const Lane& current() { return *launch->running; }

void read(const Region* r, int64_t offset, uint32_t bytes, uint32_t alignment) {
  check_bounds(r, offset, bytes, alignment, "reads");
  if (r->space == Space::threadgroup)
    threadgroup_read(*static_cast<Array*>(const_cast<Region*>(r)), offset, bytes);
  else
    device_read(*static_cast<Buffer*>(const_cast<Region*>(r)), offset, bytes);
}

void write(const Region* r, int64_t offset, uint32_t bytes, uint32_t alignment) {
  check_bounds(r, offset, bytes, alignment, "writes");
  if (r->space == Space::threadgroup)
    threadgroup_write(*static_cast<Array*>(const_cast<Region*>(r)), offset, bytes);
  else
    device_write(*static_cast<Buffer*>(const_cast<Region*>(r)), offset, bytes);
}

const Region* threadgroup_array(const char* name, uint32_t bytes) {
  Thread& lane = *launch->running;
  uint32_t index = lane.num_arrays++;
  auto& arrays = launch->arrays;
  if (index == arrays.size()) {
    arrays.emplace_back();
    arrays.back().storage.resize(bytes);
    arrays.back().cells.resize((bytes + 1) / 2);
    static_cast<Region&>(arrays.back()) = {name, arrays.back().storage.data(), bytes, Space::threadgroup};
    uint64_t total = 0;
    for (const auto& a : arrays) total += a.bytes;
    if (total > max_threadgroup_bytes) fault("%llu bytes of threadgroup memory", (unsigned long long)total);
  }
  Array& array = arrays[index];
  if (array.bytes != bytes) fault("threadgroup array '%s' differs between lanes", name);
  if (array.serial != launch->group_serial) {
    memset(array.data, 0xff, bytes);  // all ones is NaN in every float format
    array.serial = launch->group_serial;
  }
  return &array;
}

void collective(const char* op, int line, void* operand, uint32_t bytes, Combine combine, uint32_t argument) {
  Thread& lane = *launch->running;
  uint8_t* slot = launch->slots[lane.simdgroup].data[lane.lane];
  memcpy(slot, operand, bytes);
  lane.combine = combine;
  lane.argument = argument;
  wait(State::at_collective, op, line);
  memcpy(operand, slot, bytes);
}

void simdgroup_barrier(int line) {
  launch->running->combine = nullptr;
  wait(State::at_collective, "simdgroup_barrier", line);
  launch->running->simd_epoch++;
}

void threadgroup_barrier(int line) { wait(State::at_barrier, "threadgroup_barrier", line); }

// What Python calls.

struct BufferArgument {
  const char* name;
  uint8_t* data;
  uint64_t bytes;
  const uint8_t* undefined;
  uint8_t* written;  // out, one per byte; null when nobody asks
  uint32_t constant;
  uint64_t requested_bytes, fetched_bytes, stored_bytes;  // out
};

struct LaunchArgument {
  void (*kernel)(const Region* const*);
  BufferArgument* buffers;
  uint32_t num_buffers;
  Position grid, threadgroup;
  uint64_t seed, cache_bytes;
  uint32_t measured;
  uint32_t threadgroup_bytes;  // out
  char* message;
  uint64_t message_bytes;
};

extern "C" int sim_launch(LaunchArgument* a) {
  if (!stacks)
    stacks = static_cast<char*>(mmap(nullptr, max_threads * stack_bytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  Launch state;
  launch = &state;
  state.message = a->message;
  state.message_bytes = a->message_bytes;
  state.failed = false;
  state.running = nullptr;
  state.kernel = a->kernel;
  state.measured = a->measured;
  state.random = a->seed != 0;
  state.rng.seed(a->seed);
  state.group_serial = state.epoch = 0;
  state.cache.capacity = a->cache_bytes / sector_bytes;
  state.arrays.reserve(32);  // lanes keep pointers into it
  state.buffers.resize(a->num_buffers);
  for (uint32_t i = 0; i < a->num_buffers; ++i) {
    const BufferArgument& b = a->buffers[i];
    static_cast<Region&>(state.buffers[i]) = {b.name, b.data, b.bytes,
                                              b.constant ? Space::constant : Space::device};
    state.buffers[i].undefined = b.undefined;
    state.regions.push_back(&state.buffers[i]);
  }
  Position t = a->threadgroup, g = a->grid;
  Position n{(g.x + t.x - 1) / t.x, (g.y + t.y - 1) / t.y, (g.z + t.z - 1) / t.z};
  std::vector<uint64_t> order(uint64_t(n.x) * n.y * n.z);
  for (uint64_t i = 0; i < order.size(); ++i) order[i] = i;
  if (state.random) std::shuffle(order.begin(), order.end(), state.rng);
  for (uint64_t i : order) {
    Position group{uint32_t(i % n.x), uint32_t(i / n.x % n.y), uint32_t(i / (uint64_t(n.x) * n.y))};
    start_threadgroup(group, n, g, t);
    run_threadgroup();
    if (state.failed) break;
    if (state.measured) replay_loads();
  }
  a->threadgroup_bytes = 0;
  for (const auto& array : state.arrays) a->threadgroup_bytes += array.bytes;
  for (uint32_t i = 0; i < a->num_buffers; ++i) {
    const Buffer& b = state.buffers[i];
    a->buffers[i].requested_bytes = b.requested;
    a->buffers[i].fetched_bytes = b.fetched;
    a->buffers[i].stored_bytes = b.stored;
    if (a->buffers[i].written)
      for (uint64_t k = 0; k < b.writers.size(); ++k) a->buffers[i].written[k] = b.writers[k].written;
  }
  launch = nullptr;
  return state.failed;
}

}  // namespace sim
