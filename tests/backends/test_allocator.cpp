// The caching host allocator: size classes, reuse, the cap, statistics, threads.
#include "keymix/backends/cpu/allocator.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/registry.h"
#include "keymix/core/error.h"
#include "keymix/ops/create.h"
#include "support/catch.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

using namespace keymix;
using cpu_backend::HostAllocator;

namespace {

constexpr std::size_t kLimit = std::size_t{1} << 20;

bool aligned(const void* block) { return reinterpret_cast<std::uintptr_t>(block) % 64 == 0; }

}  // namespace

TEST_CASE("host allocator: block sizes waste at most an eighth", "[unit][cpu]") {
  std::size_t previous = 0;
  for (std::size_t bytes = 0; bytes < 70000; bytes += bytes < 2000 ? 1 : 37) {
    const std::size_t block = HostAllocator::block_size(bytes);
    INFO(bytes << " bytes in a block of " << block);
    REQUIRE((block >= bytes && block % 64 == 0 && block >= previous));
    REQUIRE(HostAllocator::block_size(block) == block);  // so a class has one size
    REQUIRE((bytes <= 512 || block - bytes < bytes / 8 + 64));
    previous = block;
  }
}

TEST_CASE("host allocator: reuse and statistics", "[unit][cpu]") {
  HostAllocator allocator({kLimit, false, false});
  void* small = allocator.allocate(1000);
  void* nothing = allocator.allocate(0);
  void* large = allocator.allocate(std::size_t{9} << 20);  // larger than the cap
  for (const void* block : {small, nothing, large}) {
    CHECK(block != nullptr);
    CHECK(aligned(block));
  }
  std::memset(large, 1, std::size_t{9} << 20);
  const std::size_t in_use = 1024 + 64 + (std::size_t{9} << 20);
  CHECK(allocator.stats().current == in_use);
  CHECK(allocator.stats().peak == in_use);
  CHECK(allocator.stats().reserved == in_use);

  allocator.deallocate(large, std::size_t{9} << 20);
  allocator.deallocate(small, 1000);
  CHECK(allocator.stats().current == 64);
  CHECK(allocator.stats().peak == in_use);
  CHECK(allocator.stats().reserved == 64 + 1024);  // the large block went back to the system
  allocator.reset_peak();
  CHECK(allocator.stats().peak == 64);

  CHECK(allocator.allocate(961) == small);  // of the same class
  void* other = allocator.allocate(700);
  CHECK(other != small);
  CHECK(allocator.stats().current == 64 + 1024 + 704);
  allocator.deallocate(small, 961);
  allocator.deallocate(other, 700);
  allocator.deallocate(nothing, 0);
  CHECK(allocator.stats().current == 0);
  allocator.release_cached();
  CHECK(allocator.stats().reserved == 0);
}

TEST_CASE("host allocator: the cache respects its cap and forgets unused sizes", "[unit][cpu]") {
  HostAllocator allocator({std::size_t{64} << 10, false, false});
  std::vector<void*> blocks;
  for (int i = 0; i < 20; ++i) blocks.push_back(allocator.allocate(8192));
  for (void* block : blocks) {
    allocator.deallocate(block, 8192);
    CHECK(allocator.stats().reserved - allocator.stats().current <= std::size_t{64} << 10);
  }
  // A cache full of 8192 gives way to the size in use now.
  for (int i = 0; i < 100; ++i) allocator.deallocate(allocator.allocate(40000), 40000);
  void* block = allocator.allocate(40000);
  allocator.deallocate(block, 40000);
  CHECK(allocator.allocate(40000) == block);
  allocator.deallocate(block, 40000);
}

TEST_CASE("host allocator: repeated steps hold no more than the first", "[unit][cpu]") {
  HostAllocator allocator({std::size_t{256} << 20, false, false});
  std::size_t after_ten = 0;
  for (int step = 0; step < 1000; ++step) {
    std::vector<std::pair<void*, std::size_t>> live;
    for (std::size_t bytes : {100u, 5000u, 100u, 70000u, 64u, 12345u})
      live.emplace_back(allocator.allocate(bytes), bytes);
    for (const auto& [block, bytes] : live) allocator.deallocate(block, bytes);
    if (step == 10) after_ten = allocator.stats().reserved;
  }
  CHECK(allocator.stats().reserved == after_ten);
  CHECK(allocator.stats().current == 0);
}

TEST_CASE("host allocator: fresh memory reads as NaN when asked to", "[unit][cpu]") {
  HostAllocator allocator({kLimit, true, false});
  for (int round = 0; round < 2; ++round) {  // from the system, then from the cache
    auto* values = static_cast<float*>(allocator.allocate(100 * sizeof(float)));
    for (int i = 0; i < 100; ++i) REQUIRE(std::isnan(values[i]));
    std::fill(values, values + 100, 1.0f);
    allocator.deallocate(values, 100 * sizeof(float));
  }
}

TEST_CASE("host allocator: passing through keeps nothing", "[unit][cpu]") {
  HostAllocator allocator({kLimit, false, true});
  void* block = allocator.allocate(1001);
  CHECK(aligned(block));
  CHECK(allocator.stats().current == 1001);
  allocator.deallocate(block, 1001);
  CHECK(allocator.stats().reserved == 0);
}

TEST_CASE("host allocator: more than there is throws with the size", "[unit][cpu]") {
  HostAllocator allocator({kLimit, false, false});
  CHECK_THROWS_WITH(
      allocator.allocate(~std::size_t{0}),
      "allocate: more memory than there can be; got 18446744073709551615 bytes; needed at "
      "most 4611686018427387904");
#ifndef KEYMIX_SANITIZED  // a sanitizer's allocator aborts instead
  CHECK_THROWS_WITH(
      allocator.allocate(std::size_t{1} << 60),
      "allocate: the CPU is out of memory; 1152921504606846976 bytes came on top of 0 in use");
#endif
  CHECK(allocator.stats().current == 0);
  CHECK(allocator.stats().peak == 0);
}

TEST_CASE("host allocator: several threads", "[unit][cpu][threads]") {
  HostAllocator allocator({kLimit, false, false});
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&allocator, t] {
      for (unsigned i = 0; i < 300; ++i) {
        const std::size_t bytes = 1 + (i * 37 + t * 11) % 3000;
        auto* block = static_cast<unsigned char*>(allocator.allocate(bytes));
        std::memset(block, static_cast<int>(t), bytes);
        if (block[bytes / 2] != t) std::abort();
        allocator.deallocate(block, bytes);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(allocator.stats().current == 0);
}

TEST_CASE("CPU storages come from the host allocator and go back to it", "[unit][cpu]") {
  const auto backend = cpu_backend::make_cpu_backend();
  const std::size_t before = backend->memory_stats().current;
  {
    const std::shared_ptr<Storage> storage = backend->allocate(4096);
    CHECK(storage->bytes == 4096);
    CHECK(storage->device == cpu());
    CHECK(aligned(storage->data));
    CHECK(backend->memory_stats().current == before + 4096);
    CHECK(backend->memory_stats().peak >= before + 4096);
  }
  CHECK(backend->memory_stats().current == before);
  backend->release_cached_memory();
  CHECK(backend->memory_stats().reserved == backend->memory_stats().current);
}

TEST_CASE("release_cached_memory keeps only what is in use", "[unit][cpu]") {
  const Tensor kept = ones({1000});
  { const Tensor dropped = ones({100'000}); }
  synchronize();
#ifndef KEYMIX_SANITIZED  // there nothing is cached, so that a sanitizer sees every block's end
  CHECK(memory_stats().reserved > memory_stats().current);
#endif
  release_cached_memory();
  CHECK(memory_stats().reserved == memory_stats().current);
  CHECK(kept.sum().item() == 1000);
}
