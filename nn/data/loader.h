// DataLoader: batches of a dataset, made ahead of time by a thread of its own.
//
//   data::DataLoader<Batch> loader(
//       examples, data::ShuffledSampler(size, seed, {.batch = 32}),
//       [](const std::vector<Example>& chosen) { return collate(chosen); });
//   Batch batch = loader.next();
//
// A dataset is anything with size() and operator[]: a vector, or a class that reads files. Batches
// come in the sampler's order, whatever is prefetched; the position counts what next() has given.
#pragma once

#include "keymix/nn/data/prefetch.h"
#include "keymix/nn/data/sampler.h"

#include <concepts>
#include <functional>
#include <memory>
#include <utility>

namespace keymix::data {

template <typename D>
concept Dataset = requires(const D& dataset, std::size_t i) {
  { dataset.size() } -> std::convertible_to<std::size_t>;
  dataset[i];
};

// Where a loader is: the next batch is number `batch` of epoch `epoch`. All that a checkpoint
// keeps.
//
//   const data::LoaderPosition position = loader.position();  // for a checkpoint
//   loader.seek(position);                                    // next() goes on from there
struct LoaderPosition {
  std::int64_t epoch = 0;
  std::int64_t batch = 0;

  friend bool operator==(const LoaderPosition&, const LoaderPosition&) = default;
};

//   data::DataLoader<Batch> loader(examples, sampler, collate, {.prefetch = 4});
struct LoaderOptions {
  std::int64_t prefetch = 2;  // batches made ahead by a thread; 0: made when they are asked for
};

// Walks through a sampler's epochs. Belongs to whichever thread makes the batches.
//
//   data::SamplerWalk walk(std::make_shared<data::ShuffledSampler>(sampler), {.epoch = 3});
//   for (; walk.position().epoch == 3; walk.advance()) use(walk.indices());
class SamplerWalk {
 public:
  // Throws Error unless the position exists.
  SamplerWalk(std::shared_ptr<const Sampler> sampler, LoaderPosition position);

  // The batch at the position. Throws Error when its epoch has none.
  const Indices& indices();
  LoaderPosition position() const { return position_; }
  void advance();  // into the next epoch after the last batch

 private:
  std::shared_ptr<const Sampler> sampler_;
  LoaderPosition position_;
  std::vector<Indices> plan_;
  std::int64_t planned_ = -1;  // the epoch of plan_
};

// Throw Error unless a loader can prefetch so many, and a dataset of `size` has this example.
void check_prefetch(std::int64_t prefetch);
void check_chosen(std::int64_t example, std::int64_t size);

template <typename Batch>
class DataLoader {
 public:
  // Keeps the dataset and the sampler. `collate` gets the chosen examples, in order, as
  // std::vector<Example>; with prefetch it runs on the loader's thread. Throws Error when the
  // sampler has no batch.
  template <Dataset D, std::derived_from<Sampler> S, typename Collate>
  DataLoader(D dataset, S sampler, Collate collate, LoaderOptions options = {})
      : sampler_(std::make_shared<S>(std::move(sampler))),
        walk_(sampler_, {}),
        prefetch_(options.prefetch),
        prefetcher_([this] { return make(); }, prefetch_ > 0 ? prefetch_ : 1) {
    check_prefetch(prefetch_);
    using Example = std::remove_cvref_t<decltype(std::as_const(dataset)[std::size_t{}])>;
    make_ = [dataset = std::move(dataset), collate = std::move(collate)](const Indices& indices) {
      std::vector<Example> chosen;
      chosen.reserve(indices.size());
      for (const std::int64_t i : indices) {
        check_chosen(i, static_cast<std::int64_t>(dataset.size()));
        chosen.push_back(dataset[static_cast<std::size_t>(i)]);
      }
      return Batch(collate(chosen));
    };
  }
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  // The next batch; after the last of an epoch the first of the next. Throws what dataset or
  // collate threw for it, and again until seek() goes elsewhere.
  Batch next() {
    const Prefetcher::Made made = prefetch_ > 0 ? prefetcher_.take() : make();
    if (made.failure) std::rethrow_exception(made.failure);
    Product& product = *static_cast<Product*>(made.product.get());
    position_ = product.after;
    return std::move(product.batch);
  }

  LoaderPosition position() const { return position_; }
  // Throws Error unless the position exists.
  void seek(LoaderPosition position) {
    SamplerWalk walk(sampler_, position);
    prefetcher_.stop();
    walk_ = std::move(walk);
    position_ = position;
  }

 private:
  struct Product {
    Batch batch;
    LoaderPosition after;  // the position once it has been given
  };

  // The batch at walk_, which moves on unless it failed.
  Prefetcher::Made make() {
    Batch batch = make_(walk_.indices());
    walk_.advance();
    return {.product = std::make_shared<Product>(Product{std::move(batch), walk_.position()})};
  }

  std::shared_ptr<const Sampler> sampler_;
  SamplerWalk walk_;  // the prefetcher's thread's until it has been stopped
  std::int64_t prefetch_;
  std::function<Batch(const Indices&)> make_;
  LoaderPosition position_;
  Prefetcher prefetcher_;  // last: its thread uses what is above
};

}  // namespace keymix::data
