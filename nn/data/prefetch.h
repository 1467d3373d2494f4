// Prefetcher: a thread that makes things ahead of time and hands them out in order. What it makes is
// of no concern here: DataLoader makes batches of it.
//
//   Prefetcher batches([&] { return Prefetcher::Made{.product = std::make_shared<Batch>(read_next())}; }, 2);
//   auto batch = std::static_pointer_cast<Batch>(batches.take().product);
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>

namespace keymix::data {

class Prefetcher {
 public:
  // One product, or what was thrown instead.
  //
  //   const Prefetcher::Made made = batches.take();
  //   if (made.failure) std::rethrow_exception(made.failure);
  struct Made {
    std::shared_ptr<void> product = nullptr;
    std::exception_ptr failure = nullptr;
  };

  // `make` runs on the thread, which starts with the first take() and keeps `ahead` products ready;
  // what it throws is a failure too. Throws Error when `make` is empty or `ahead` below 1.
  Prefetcher(std::function<Made()> make, std::int64_t ahead);
  ~Prefetcher();

  // The next product. A failure ends the thread, and is given again and again until stop().
  Made take();
  // Ends the thread and drops what it made; the next take() starts another.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared, so that only prefetch.cpp need know what it is
};

}  // namespace keymix::data
