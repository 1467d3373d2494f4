// The one thread pool, of the size that backends/threads.h sets. Work is cut by shapes alone, never
// by the number of threads, so the same bits come out for 1, 2 or 64 threads.
//
//   cpu_backend::parallel_for(rows, 64, [&](std::int64_t begin, std::int64_t end) {
//     for (std::int64_t row = begin; row < end; ++row) normalise(row);
//   });
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

namespace keymix::cpu_backend {

// Nanoseconds of work that make a chunk worth handing to a thread.
inline constexpr double kTaskTime = 80e3;

// A borrowed callable (begin, end): no allocation, valid during the call only.
class RangeBody {
 public:
  template <typename F, typename = std::enable_if_t<!std::is_same_v<std::decay_t<F>, RangeBody>>>
  RangeBody(F&& body)  // NOLINT: implicit, so that lambdas convert
      : object_(const_cast<void*>(static_cast<const void*>(&body))),
        call_([](void* object, std::int64_t begin, std::int64_t end) {
          (*static_cast<std::remove_reference_t<F>*>(object))(begin, end);
        }) {}
  void operator()(std::int64_t begin, std::int64_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t, std::int64_t);
};

// Calls body(begin, end) for the chunks [0, grain), [grain, 2 grain), … of [0, count), in any order
// and on any thread, and returns when all are done. One chunk, or a call from inside a body, runs
// in the caller. The first exception a body throws is rethrown here.
void parallel_for(std::int64_t count, std::int64_t grain, RangeBody body);

}  // namespace keymix::cpu_backend
