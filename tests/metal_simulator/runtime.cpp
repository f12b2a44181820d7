// Executes one launch: each lane is a fiber, threadgroups run one after another in an order drawn
// from the seed. A fault abandons the launch and returns its message; nothing is unwound.
#include "runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <random>
#include <unordered_map>
#include <vector>

#if !defined(__x86_64__) || !defined(__linux__)
#define SIM_UCONTEXT 1
#endif
#ifdef SIM_UCONTEXT
#include <ucontext.h>
#endif

namespace sim {
namespace {

constexpr uint32_t max_threads = 1024;
constexpr uint32_t max_threadgroup_bytes = 32768;
constexpr size_t stack_bytes = 256 * 1024;
constexpr uint32_t sector_bytes = 32;

// ---- fibers -----------------------------------------------------------------------------------

#ifdef SIM_UCONTEXT
struct Fiber {
  ucontext_t context;
};
void fiber_switch(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
void fiber_start(Fiber& fiber, char* stack, void (*entry)()) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
}
#else
struct Fiber {
  void* stack_pointer;
};
extern "C" void sim_switch(void** from, void* to);
asm(R"(
.text
.globl sim_switch
.hidden sim_switch
sim_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
void fiber_switch(Fiber& from, Fiber& to) { sim_switch(&from.stack_pointer, to.stack_pointer); }
void fiber_start(Fiber& fiber, char* stack, void (*entry)()) {
  auto top = reinterpret_cast<void**>(stack + stack_bytes);
  *--top = nullptr;  // keeps the stack 16-byte aligned at entry, as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber.stack_pointer = top;
}
#endif

// ---- state of the launch ----------------------------------------------------------------------

enum class State : uint8_t { running, at_collective, at_barrier, done };

struct Access {
  uint32_t region, bytes;
  uint64_t offset;
};

struct Thread : Lane {
  Fiber fiber;
  State state;
  const char* op;
  int line;
  uint32_t num_collectives, num_arrays;
  uint32_t simd_epoch;  // simdgroup barriers passed since the last threadgroup barrier
  Combine combine;  // null at a simdgroup barrier
  uint32_t argument;
  std::vector<Access> accesses;
};

// Who touched two bytes of threadgroup memory last; valid only in the threadgroup `serial`.
struct Cell {
  uint32_t serial;
  uint32_t write_epoch, read_epoch;
  uint16_t writer, write_simd_epoch, reader, read_simd_epoch;
  bool written, was_read, many_lanes, many_simdgroups;
};

struct Array : Region {
  std::vector<uint8_t> storage;
  std::vector<Cell> cells;
  uint32_t serial;  // the threadgroup it was poisoned for
};

// Who wrote a byte of device memory last in this launch.
struct Writer {
  uint32_t group, epoch;
  uint16_t thread;
  bool written;
};

struct Buffer : Region {
  const uint8_t* undefined;  // one per byte, or null: bytes that hold nothing yet
  std::vector<Writer> writers;
  uint64_t requested = 0, fetched = 0, stored = 0;
};

// Sectors that the last-level cache holds, least recently used first out.
struct Cache {
  size_t capacity;
  std::list<uint64_t> order;
  std::unordered_map<uint64_t, std::list<uint64_t>::iterator> where;
  bool touch(uint64_t sector) {
    auto found = where.find(sector);
    if (found != where.end()) {
      order.splice(order.begin(), order, found->second);
      return true;
    }
    order.push_front(sector);
    where[sector] = order.begin();
    if (order.size() > capacity) {
      where.erase(order.back());
      order.pop_back();
    }
    return false;
  }
};

struct Launch {
  std::vector<Thread> threads{max_threads};
  std::vector<Slots> slots{max_threads / simd_width};
  std::vector<Buffer> buffers;
  std::vector<const Region*> regions;
  std::vector<Array> arrays;
  Fiber scheduler;
  Thread* running;
  void (*kernel)(const Region* const*);
  uint32_t num_threads, group_serial, epoch;
  bool measured, random;
  std::mt19937_64 rng;
  Cache cache;
  char* message;
  size_t message_bytes;
  bool failed;
};

Launch* launch;
char* stacks;

[[noreturn]] void stop() {
  launch->failed = true;
  Thread* lane = launch->running;
  if (lane) fiber_switch(lane->fiber, launch->scheduler);
  abort();  // an abandoned fiber is never resumed
}

void describe(const char* format, va_list arguments) {
  if (launch->failed) return;
  int used = vsnprintf(launch->message, launch->message_bytes, format, arguments);
  size_t at = std::min<size_t>(used, launch->message_bytes);
  if (const Thread* t = launch->running)
    snprintf(launch->message + at, launch->message_bytes - at,
             " [thread %u of threadgroup (%u, %u, %u), after line %d]", t->index,
             t->threadgroup_in_grid.x, t->threadgroup_in_grid.y, t->threadgroup_in_grid.z, t->line);
}

[[noreturn]] void fault(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  describe(format, arguments);
  va_end(arguments);
  stop();
}

// As fault, from the scheduler's own stack.
void report(const char* format, ...) {
  launch->running = nullptr;
  va_list arguments;
  va_start(arguments, format);
  describe(format, arguments);
  va_end(arguments);
  launch->failed = true;
}

void lane_main() {
  launch->kernel(launch->regions.data());
  launch->running->state = State::done;
  fiber_switch(launch->running->fiber, launch->scheduler);
  abort();
}

void wait(State state, const char* op, int line) {
  Thread* lane = launch->running;
  lane->state = state;
  lane->op = op;
  lane->line = line;
  lane->num_collectives++;
  fiber_switch(lane->fiber, launch->scheduler);
}

// ---- memory -----------------------------------------------------------------------------------

void check_bounds(const Region* r, int64_t offset, uint32_t bytes, uint32_t align, const char* verb) {
  if (!r) fault("%s through a null pointer", verb);
  if (offset < 0 || uint64_t(offset) + bytes > r->bytes)
    fault("out of bounds: %s %u bytes at offset %lld of '%s', which has %llu", verb, bytes,
          static_cast<long long>(offset), r->name, static_cast<unsigned long long>(r->bytes));
  if (offset % align) fault("misaligned: %s %u bytes at offset %lld of '%s', alignment %u", verb,
                            bytes, static_cast<long long>(offset), r->name, align);
}

void race(const Region* r, int64_t offset, const char* verb, unsigned other) {
  fault("race: thread %u and this one %s '%s' at offset %lld with no barrier between", other, verb,
        r->name, static_cast<long long>(offset));
}

Cell& fresh_cell(Array& array, uint64_t index) {
  Cell& cell = array.cells[index];
  if (cell.serial != launch->group_serial) cell = Cell{launch->group_serial};
  return cell;
}

// Two accesses are ordered by a threadgroup barrier, or, inside one simdgroup, by a simdgroup one.
bool unordered(const Thread& me, uint16_t other, uint32_t epoch, uint16_t simd_epoch) {
  if (me.index == other || epoch != launch->epoch) return false;
  return me.simdgroup != other / simd_width || simd_epoch == uint16_t(me.simd_epoch);
}

void threadgroup_read(Array& array, int64_t offset, uint32_t bytes) {
  const Thread& me = *launch->running;
  for (uint64_t i = offset / 2; i < uint64_t(offset + bytes + 1) / 2; ++i) {
    Cell& c = fresh_cell(array, i);
    if (!c.written) fault("uninitialised: reads '%s' at offset %lld", array.name, (long long)(i * 2));
    if (unordered(me, c.writer, c.write_epoch, c.write_simd_epoch))
      race(&array, i * 2, "write and read", c.writer);
    bool same_epoch = c.was_read && c.read_epoch == launch->epoch;
    bool same_simdgroup = same_epoch && c.reader / simd_width == me.simdgroup;
    bool same_phase = same_simdgroup && c.read_simd_epoch == uint16_t(me.simd_epoch);
    c.many_simdgroups = same_epoch && (c.many_simdgroups || !same_simdgroup);
    c.many_lanes = same_phase && (c.many_lanes || c.reader != me.index);
    c.was_read = true;
    c.reader = me.index;
    c.read_epoch = launch->epoch;
    c.read_simd_epoch = me.simd_epoch;
  }
}

void threadgroup_write(Array& array, int64_t offset, uint32_t bytes) {
  const Thread& me = *launch->running;
  for (uint64_t i = offset / 2; i < uint64_t(offset + bytes + 1) / 2; ++i) {
    Cell& c = fresh_cell(array, i);
    if (c.written && unordered(me, c.writer, c.write_epoch, c.write_simd_epoch))
      race(&array, i * 2, "both write", c.writer);
    bool read_here = c.was_read && c.read_epoch == launch->epoch;
    bool same_phase = read_here && c.read_simd_epoch == uint16_t(me.simd_epoch);
    if (c.was_read && unordered(me, c.reader, c.read_epoch, c.read_simd_epoch))
      race(&array, i * 2, "read and write", c.reader);
    if ((read_here && c.many_simdgroups) || (same_phase && c.many_lanes))
      race(&array, i * 2, "read and write", c.reader);
    c.written = true;
    c.writer = me.index;
    c.write_epoch = launch->epoch;
    c.write_simd_epoch = me.simd_epoch;
  }
}

void device_read(Buffer& buffer, int64_t offset, uint32_t bytes) {
  Thread& me = *launch->running;
  for (uint64_t i = offset; i < offset + uint64_t(bytes); ++i) {
    bool written = !buffer.writers.empty() && buffer.writers[i].written;
    if (!written) {
      if (buffer.undefined && buffer.undefined[i])
        fault("uninitialised: reads '%s' at offset %llu", buffer.name, (unsigned long long)i);
      continue;
    }
    const Writer& w = buffer.writers[i];
    if (w.group != launch->group_serial || (w.thread != me.index && w.epoch == launch->epoch))
      race(&buffer, i, "write and read", w.thread);
  }
  buffer.requested += bytes;
  if (launch->measured)
    me.accesses.push_back({uint32_t(&buffer - launch->buffers.data()), bytes, uint64_t(offset)});
}

void device_write(Buffer& buffer, int64_t offset, uint32_t bytes) {
  const Thread& me = *launch->running;
  if (buffer.writers.empty()) buffer.writers.resize(buffer.bytes);
  for (uint64_t i = offset; i < offset + uint64_t(bytes); ++i) {
    Writer& w = buffer.writers[i];
    if (w.written && (w.group != launch->group_serial ||
                      (w.thread != me.index && w.epoch == launch->epoch)))
      race(&buffer, i, "both write", w.thread);
    w = {launch->group_serial, launch->epoch, uint16_t(me.index), true};
  }
  buffer.stored += bytes;
}

// ---- traffic ----------------------------------------------------------------------------------

// Replays the loads of one threadgroup as the hardware issues them: the n-th load of all lanes
// together. What misses the last-level cache is fetched from memory, a sector at a time.
void replay_loads() {
  size_t longest = 0;
  for (uint32_t i = 0; i < launch->num_threads; ++i)
    longest = std::max(longest, launch->threads[i].accesses.size());
  for (size_t n = 0; n < longest; ++n)
    for (uint32_t i = 0; i < launch->num_threads; ++i) {
      const auto& accesses = launch->threads[i].accesses;
      if (n >= accesses.size()) continue;
      const Access& a = accesses[n];
      for (uint64_t s = a.offset / sector_bytes; s <= (a.offset + a.bytes - 1) / sector_bytes; ++s)
        if (!launch->cache.touch(uint64_t(a.region) << 48 | s)) {
          Buffer& buffer = launch->buffers[a.region];
          buffer.fetched += std::min<uint64_t>(sector_bytes, buffer.bytes - s * sector_bytes);
        }
    }
  for (auto& thread : launch->threads) thread.accesses.clear();
}

// ---- scheduling -------------------------------------------------------------------------------

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

// ---- what kernels call ------------------------------------------------------------------------

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

// ---- what Python calls ------------------------------------------------------------------------

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
