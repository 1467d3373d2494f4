#include "keymix/nn/transformer/generate.h"

#include "keymix/autograd/grad_mode.h"
#include "keymix/core/error.h"
#include "keymix/ops/create.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace keymix {
namespace {

void check_options(const char* op, const GenerateOptions& options) {
  check(options.length >= 0, "{}: negative length; got {}; needed 0 or more", op, options.length);
  check(std::isfinite(options.temperature) && options.temperature >= 0,
        "{}: impossible temperature; got {}; needed a finite 0 or more", op, options.temperature);
  check(options.top_k >= 0, "{}: impossible top_k; got {}; needed 0 (all) or more", op,
        options.top_k);
  check(options.top_p > 0 && options.top_p <= 1,
        "{}: impossible top_p; got {}; needed 0 < top_p <= 1", op, options.top_p);
}

}  // namespace

std::int64_t sample(const Tensor& logits, const GenerateOptions& options, Generator& rng) {
  check_options("sample", options);
  check(logits.ndim() == 1 && logits.numel() > 0, "sample: got logits {}; needed [vocab]",
        logits.shape());
  const std::vector<double> values = to_vector<double>(logits);
  const auto bad =
      std::find_if(values.begin(), values.end(), [](double v) { return !std::isfinite(v); });
  check(bad == values.end(), "sample: the logit of token {} is {}; needed finite numbers",
        bad - values.begin(), bad == values.end() ? 0 : *bad);
  // Likeliest first; equal ones by index, so that every platform cuts alike.
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  if (options.temperature == 0) return static_cast<std::int64_t>(order.front());
  if (options.top_k > 0)
    order.resize(std::min(order.size(), static_cast<std::size_t>(options.top_k)));

  std::vector<double> weights;
  for (const std::size_t token : order)
    weights.push_back(std::exp((values[token] - values[order.front()]) / options.temperature));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double kept = 0;
  std::size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < options.top_p * total))
    kept += weights[count++];

  double left = static_cast<double>(rng.next_uniform()) * kept;
  std::size_t chosen = 0;
  while (chosen + 1 < count && left >= weights[chosen]) left -= weights[chosen++];
  return static_cast<std::int64_t>(order[chosen]);
}

Generation::Generation(nn::LanguageModel& model, std::vector<std::int64_t> prompt,
                       GenerateOptions options, Generator& rng)
    : model_(model), options_(options), rng_(rng), tokens_(std::move(prompt)) {
  check_options("generate", options_);
  check(!tokens_.empty(), "generate: the prompt is empty; needed one token or more");
  for (std::size_t i = 0; i < tokens_.size(); ++i)
    check(tokens_[i] >= 0 && tokens_[i] < model.vocab(),
          "generate: token {} at position {} of the prompt is outside the vocabulary [0, {})",
          tokens_[i], i, model.vocab());
}

Tensor Generation::next_logits() {
  const NoGrad no_grad;
  const auto length = std::ssize(tokens_);
  const bool fits = length <= model_.context();
  if (fits && state_.blocks.empty()) state_ = model_.make_state();
  const std::int64_t first = fits ? state_.length : length - model_.context();
  const Tensor ids = from_values(std::vector<std::int64_t>(tokens_.begin() + first, tokens_.end()),
                                 {1, length - first})
                         .to(model_.tokens.weight.device());
  const Tensor logits = fits ? model_.step(ids, state_) : model_(ids);
  return logits[0][logits.size(1) - 1];
}

void Generation::advance() {
  if (++drawn_ > options_.length) return;
  tokens_.push_back(sample(next_logits(), options_, rng_));
}

Generation::Iterator Generation::begin() {
  if (drawn_ == 0) advance();
  return Iterator(*this);
}

Generation generate(nn::LanguageModel& model, std::vector<std::int64_t> prompt,
                    GenerateOptions options, Generator& rng) {
  return Generation(model, std::move(prompt), options, rng);
}

}  // namespace keymix
