#include "keymix/nn/data/prefetch.h"

#include "keymix/core/error.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace keymix::data {

struct Prefetcher::State {
  std::function<Made()> make;
  std::int64_t ahead = 1;
  std::thread thread;

  std::mutex mutex;  // of what follows
  std::condition_variable changed;
  std::deque<Made> ready;
  bool stopping = false;

  void produce() {
    for (;;) {
      Made made;
      try {
        made = make();
      } catch (...) {
        made = {.failure = std::current_exception()};
      }
      const bool failed = made.failure != nullptr;
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return stopping || std::ssize(ready) < ahead; });
      if (stopping) return;
      ready.push_back(std::move(made));
      changed.notify_all();
      if (failed) return;
    }
  }
};

Prefetcher::Prefetcher(std::function<Made()> make, std::int64_t ahead)
    : state_(std::make_shared<State>()) {
  check(make != nullptr, "Prefetcher: got an empty function; needed one that makes something");
  check(ahead >= 1, "Prefetcher: nothing to keep ready; got ahead = {}; needed 1 or more", ahead);
  state_->make = std::move(make);
  state_->ahead = ahead;
}

Prefetcher::~Prefetcher() { stop(); }

Prefetcher::Made Prefetcher::take() {
  State& state = *state_;
  if (!state.thread.joinable()) state.thread = std::thread([&state] { state.produce(); });
  std::unique_lock lock(state.mutex);
  state.changed.wait(lock, [&state] { return !state.ready.empty(); });
  if (state.ready.front().failure) return state.ready.front();  // stays: the thread has ended
  Made made = std::move(state.ready.front());
  state.ready.pop_front();
  state.changed.notify_all();
  return made;
}

void Prefetcher::stop() {
  State& state = *state_;
  {
    const std::lock_guard lock(state.mutex);
    state.stopping = true;
  }
  state.changed.notify_all();
  if (state.thread.joinable()) state.thread.join();
  state.ready.clear();
  state.stopping = false;
}

}  // namespace keymix::data
