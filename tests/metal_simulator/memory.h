// Checks every access (bounds, alignment, races, bytes that hold nothing) and counts what memory
// would have had to deliver.
#pragma once
#include "launch.h"

namespace sim {
namespace {

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
  const bool unwritten = buffer.writers.empty();
  const uint64_t end = unwritten && !buffer.undefined ? offset : offset + uint64_t(bytes);
  for (uint64_t i = offset; i < end; ++i) {
    bool written = !unwritten && buffer.writers[i].written;
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

}  // namespace
}  // namespace sim
